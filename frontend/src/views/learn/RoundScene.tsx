// Draft, verify, keep: through a real round of the recording, step by step.
import { useState } from "react";
import type { Round, Run } from "../../run/model";
import { statusAfter, textBefore, typicalRound, walkOf } from "../../run/walk";
import { SavedFigure } from "../../ui/SavedFigure";
import { visible } from "../../words/label";
import { LEAD, stepWords, WHY } from "../../words/learn/round";
import { STATUS } from "../../words/verdicts";
import { LearnSlider } from "./LearnSlider";
import { RoundTime } from "./RoundTime";
import { Scene } from "./Scene";
import "./round.css";

const CONTEXT = 160;

export function RoundScene({ run }: { run: Run | null }) {
  const words = WHY.map((sentence) => <p key={sentence}>{sentence}</p>);
  const first = run && typicalRound(run);
  return (
    <Scene lead={LEAD} words={words}>
      {run && first ? <Walk run={run} first={first} /> : <p role="status">The recorded run is not loaded.</p>}
    </Scene>
  );
}

function Walk({ run, first }: { run: Run; first: Round }) {
  const rounds = run.rounds.filter(({ drafted }) => drafted.length > 0);
  const [number, setNumber] = useState(rounds.indexOf(first));
  const [at, setAt] = useState(0);
  const round = rounds[number] ?? first;
  const steps = walkOf(round);
  const last = steps.length - 1;
  const step = steps[Math.min(at, last)];
  const plainTps = run.started?.baseline?.tps ?? null;
  const choose = (next: number) => {
    setNumber(next);
    setAt(0);
  };
  return (
    <>
      <div className="learn-buttons">
        <button type="button" onClick={() => setAt(at - 1)} disabled={at === 0}>
          Back
        </button>
        <button type="button" onClick={() => setAt(at + 1)} disabled={at >= last}>
          Next step
        </button>
        <span className="figures">
          step {at + 1} of {steps.length}
        </span>
      </div>
      <p role="status" className="learn-verdict is-tall">
        {step && stepWords(step, round, plainTps === null ? null : 1000 / plainTps)}
      </p>
      <p className="walk-text">{textBefore(run, round, CONTEXT) || "(the beginning of the answer)"}</p>
      <Tokens round={round} steps={steps} at={at} />
      <SavedFigure title="Time of the round">
        <RoundTime round={round} step={step ?? null} plainTps={plainTps} />
      </SavedFigure>
      <div className="learn-sliders">
        <LearnSlider
          name="Step"
          value={at + 1}
          lowest={1}
          highest={steps.length}
          step={1}
          shown={`${at + 1}`}
          help="Drag it through the round"
          onMove={(value) => setAt(value - 1)}
        />
        <LearnSlider
          name="Round"
          value={number + 1}
          lowest={1}
          highest={rounds.length}
          step={1}
          shown={`${number + 1} of ${rounds.length}`}
          help="The rounds of the recorded run, as measured"
          onMove={(value) => choose(value - 1)}
        />
      </div>
    </>
  );
}

function Tokens({ round, steps, at }: { round: Round; steps: ReturnType<typeof walkOf>; at: number }) {
  const step = steps[at];
  const current = step && "token" in step ? step.token.key : null;
  const tokens = [...round.drafted, ...round.emitted.filter(({ node }) => node === null)];
  return (
    <ol
      className="walk-tokens"
      aria-label="Tokens of the round"
      data-reading={step?.kind === "pass" || undefined}
    >
      {tokens.map((token) => {
        const status = statusAfter(token, steps, at);
        if (status === null) return null;
        return (
          <li key={token.key} data-status={status} data-current={token.key === current || undefined}>
            <span>{visible(token.label)}</span>
            <small>
              <i aria-hidden>{STATUS[status].glyph}</i> {STATUS[status].name}
            </small>
          </li>
        );
      })}
    </ol>
  );
}
