// The place Learn: one scene at a time, each with an address.
import { type ReactNode, useEffect, useRef, useState } from "react";
import { addressOf, useHash } from "../../app/places";
import { hasServer } from "../../app/state";
import { useApp } from "../../app/useStore";
import type { Run } from "../../run/model";
import { type Random, seededRandom } from "../../theory/chance";
import { Brand } from "../../ui/Brand";
import { Places } from "../../ui/Places";
import { Provenance } from "../../ui/provenance";
import { ThemeMenu } from "../../ui/ThemeMenu";
import { type Position, positionOf, SCENES, type SceneId } from "../../words/learn/scenes";
import { learnProvenance, runProvenance } from "../../words/provenance";
import { BusyScene } from "./BusyScene";
import { FlavoursScene } from "./FlavoursScene";
import { IdeaScene } from "./IdeaScene";
import { NetworkScene } from "./NetworkScene";
import { ProofScene } from "./ProofScene";
import { RoundScene } from "./RoundScene";
import { RuleScene } from "./RuleScene";
import { SpeedupScene } from "./SpeedupScene";
import { TreesScene } from "./TreesScene";
import { useRecordedRun } from "./useRecordedRun";
import { WaitingScene } from "./WaitingScene";
import "./learn.css";

/** The same numbers at every visit. */
const SEED = 2023;
/** The first rounds of these numbers give about as many tokens as the mean. */
const TYPICAL_SEED = 21;

function Shown({ id }: { id: SceneId }): ReactNode {
  const [random] = useState(() => seededRandom(SEED));
  const run = useRecordedRun();
  const header = useApp((state) => state.recording?.header ?? null);
  const recorded = run ? runProvenance(run.started, header) : "";
  return (
    <Provenance value={learnProvenance(positionOf(id).title, recorded)}>
      {sceneOf(id, run, random)}
    </Provenance>
  );
}

function sceneOf(id: SceneId, run: Run | null, random: Random): ReactNode {
  switch (id) {
    case "idea":
      return <IdeaScene run={run} />;
    case "tokens":
      return <WaitingScene run={run} />;
    case "round":
      return <RoundScene run={run} />;
    case "rule":
      return <RuleScene random={random} run={run} />;
    case "proof":
      return <ProofScene />;
    case "speedup":
      return <SpeedupScene run={run} />;
    case "flavours":
      return <FlavoursScene run={run} />;
    case "busy":
      return <BusyScene run={run} />;
    case "network":
      return <NetworkScene run={run} seed={TYPICAL_SEED} />;
    case "trees":
      return <TreesScene />;
  }
}

/** The heading of the scene takes the focus when the reader moves to another scene, so that a screen reader goes on there. */
function useSceneHeading({ id, title }: Position) {
  const heading = useRef<HTMLHeadingElement>(null);
  const shown = useRef(id);
  useEffect(() => {
    const before = document.title;
    document.title = `${title} · Learn · SpeculatoViz`;
    return () => {
      document.title = before;
    };
  }, [title]);
  useEffect(() => {
    if (shown.current === id) return;
    shown.current = id;
    heading.current?.focus();
  }, [id]);
  return heading;
}

export function Learn() {
  const position = positionOf(useHash());
  const heading = useSceneHeading(position);
  const server = useApp(hasServer);
  return (
    <div className="learn">
      <a
        href={`#${position.id}`}
        className="skip-link"
        onClick={(event) => {
          event.preventDefault();
          heading.current?.focus();
        }}
      >
        Skip to the scene
      </a>
      <header className="page-header">
        <Brand />
        <Places />
        <span className="learn-theme">
          <ThemeMenu />
        </span>
      </header>
      <main>
        <h1>How speculative decoding works</h1>
        <SceneList current={position.id} />
        <section aria-labelledby="scene-title">
          <h2 id="scene-title" ref={heading} tabIndex={-1}>
            {position.title}
          </h2>
          <Shown key={position.id} id={position.id} />
        </section>
        <Neighbours position={position} />
        {server && (
          <p className="learn-note learn-class">
            With others? In the <a href={addressOf("classroom")}>classroom</a> everybody bets on what the
            target accepts.
          </p>
        )}
      </main>
    </div>
  );
}

function SceneList({ current }: { current: SceneId }) {
  return (
    <nav aria-label="Scenes" className="scene-list">
      <ol>
        {SCENES.map(({ id, title }) => (
          <li key={id}>
            <a href={`#${id}`} aria-current={id === current ? "step" : undefined}>
              {title}
            </a>
          </li>
        ))}
      </ol>
    </nav>
  );
}

function Neighbours({ position: { before, after } }: { position: Position }) {
  return (
    <nav aria-label="Previous and next scene" className="scene-neighbours">
      {before ? (
        <a href={`#${before.id}`} rel="prev">
          ← {before.title}
        </a>
      ) : (
        <span />
      )}
      {after && (
        <a href={`#${after.id}`} rel="next">
          {after.title} →
        </a>
      )}
    </nav>
  );
}
