// The idea: one answer, written by the target alone and with drafts, on one clock.
import { Pause, Play, RotateCcw } from "lucide-react";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import type { Run, Token } from "../../run/model";
import { arrivedBy } from "../../run/race";
import { useFollowEnd } from "../../ui/useFollowEnd";
import { milliseconds } from "../../words/format";
import {
  type Contest,
  contestOf,
  contestWords,
  LEAD,
  PROMISE,
  plainBy,
  plainNote,
  TERMS,
  WHY_FASTER,
} from "../../words/learn/idea";
import { LearnSlider } from "./LearnSlider";
import { Scene } from "./Scene";
import "./idea.css";

const STEP_MS = 50;

const step = (ms: number): number => STEP_MS * Math.ceil(ms / STEP_MS);

export function IdeaScene({ run }: { run: Run | null }) {
  const contest = useMemo(() => run && contestOf(run), [run]);
  return (
    <Scene lead={LEAD} words={<IdeaWords />}>
      {run && contest ? (
        <Contestants run={run} contest={contest} />
      ) : (
        <p role="status">The recorded run is not loaded.</p>
      )}
    </Scene>
  );
}

function IdeaWords() {
  return (
    <>
      <p>{PROMISE}</p>
      <p>{WHY_FASTER}</p>
      <dl className="learn-helps">
        {TERMS.map(([term, meaning]) => (
          <div key={term}>
            <dt>{term}:</dt> <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

/** A clock in milliseconds, which runs in real time up to its end. It stands at `firstMs`, and plays from the beginning. */
function useClock(firstMs: number, endMs: number) {
  const [ms, setMs] = useState(firstMs);
  const [fresh, setFresh] = useState(true);
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    if (!playing) return;
    let last: number | null = null;
    let frame = 0;
    const tick = (nowMs: number) => {
      const passed = last === null ? 0 : nowMs - last;
      last = nowMs;
      setMs((before) => Math.min(endMs, before + passed));
      frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(frame);
  }, [playing, endMs]);
  const ended = ms >= endMs;
  if (playing && ended) setPlaying(false);
  const toggle = () => {
    if (!playing && (ended || fresh)) setMs(0);
    setFresh(false);
    setPlaying(!playing);
  };
  const seek = (to: number) => {
    setPlaying(false);
    setFresh(false);
    setMs(to);
  };
  return { ms, playing, ended, toggle, seek };
}

function Contestants({ run, contest }: { run: Run; contest: Contest }) {
  const { plainMs, draftedMs } = contest;
  const endMs = step(Math.max(plainMs, draftedMs));
  // The moment when the first of the two is done: the difference is seen before anything is pressed.
  const { ms, playing, ended, toggle, seek } = useClock(step(Math.min(plainMs, draftedMs)), endMs);
  const tokens = useMemo(() => run.rounds.flatMap(({ emitted }) => emitted), [run]);
  const drafted = arrivedBy(contest.arrivals, ms);
  const plain = plainBy(contest, ms);
  const [name, Icon] = playing
    ? (["Pause", Pause] as const)
    : ended
      ? (["Play again", RotateCcw] as const)
      : (["Play", Play] as const);
  return (
    <>
      <div className="learn-buttons">
        <button type="button" onClick={toggle}>
          <Icon size={14} aria-hidden className="mr-1 inline" /> {name}
        </button>
      </div>
      {/* While it plays, a screen reader would read every frame. */}
      <p role={playing ? undefined : "status"} className="learn-verdict">
        {contestWords(contest, ms, drafted)}
      </p>
      <p className="idea-asked">{run.started?.prompt}</p>
      <div className="idea-lanes">
        <Lane title="The target alone" note={plainNote(contest)} tokens={tokens} count={plain} />
        <Lane title="With a draft model" note="measured" tokens={tokens} count={drafted} marked />
      </div>
      <ul className="learn-key">
        <li>
          <span className="idea-drafted">words</span> proposed by the draft model and accepted
        </li>
        <li>
          <span className="idea-own">words</span> written by the target itself
        </li>
      </ul>
      <div className="learn-sliders">
        <LearnSlider
          name="Time"
          value={Math.round(ms)}
          lowest={0}
          highest={endMs}
          step={STEP_MS}
          shown={milliseconds(ms)}
          help="Drag it to any moment"
          onMove={seek}
        />
      </div>
    </>
  );
}

interface LaneProps {
  readonly title: string;
  readonly note: string;
  readonly tokens: readonly Token[];
  readonly count: number;
  /** Whether to show which tokens were drafted. */
  readonly marked?: boolean;
}

const Lane = memo(function Lane({ title, note, tokens, count, marked = false }: LaneProps) {
  const shown = tokens.slice(0, count);
  const scroller = useRef<HTMLElement>(null);
  const content = useRef<HTMLParagraphElement>(null);
  useFollowEnd(scroller, content);
  return (
    <div className="idea-lane">
      <h3>
        {title} <small>{note}</small>
      </h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the text scrolls, so the keyboard must reach it */}
      <section ref={scroller} aria-label={title} tabIndex={0}>
        <p ref={content}>
          {marked
            ? shown.map((token) => (
                <span key={token.key} className={token.status === "accepted" ? "idea-drafted" : "idea-own"}>
                  {token.text}
                </span>
              ))
            : shown.map(({ text }) => text).join("")}
        </p>
      </section>
    </div>
  );
});
