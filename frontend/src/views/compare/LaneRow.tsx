// One lane of a race: its figures, its tokens on the clock, and its text up to the shown time.
import { memo, useMemo, useRef } from "react";
import { useRace } from "../../app/useRace";
import type { Token } from "../../run/model";
import { arrivedBy, type Lane, type Result } from "../../run/race";
import { useFollowEnd } from "../../ui/useFollowEnd";
import { fixed, percent } from "../../words/format";
import {
  differenceWords,
  laneName,
  loadingNote,
  overlapWords,
  placeWords,
  targetOf,
  timeWords,
  withoutPlain,
} from "../../words/race";
import { LaneTrack } from "./LaneTrack";

interface Props {
  readonly result: Result;
  readonly at: number;
  readonly scaleMs: number;
  /** Whether the lanes have different targets. */
  readonly several: boolean;
}

export function LaneRow({ result, at, scaleMs, several }: Props) {
  const { lane, place } = result;
  const ended = useRace(({ clock }) => clock.ms >= lane.ms);
  const arrived = useRace(({ clock }) => arrivedBy(lane.arrivals, clock.ms));
  const notes = [
    differenceWords(result, at),
    overlapWords(result),
    withoutPlain(result, several),
    loadingNote(lane),
  ].filter((words) => words !== "");
  return (
    <article aria-labelledby={`lane-${at}`} className="lane" data-ended={ended || undefined}>
      <header>
        <h2 id={`lane-${at}`}>
          <span className="lane-number">{at + 1}</span> {laneName(lane.settings)}
        </h2>
        {ended && (
          <span className="lane-place" data-place={place}>
            {placeWords(place)}
          </span>
        )}
      </header>
      <Figures result={result} several={several} />
      <LaneTrack lane={lane} scaleMs={scaleMs} />
      <Text tokens={lane.tokens} arrived={arrived} difference={result.difference} number={at + 1} />
      {notes.map((words) => (
        <p key={words} className="race-note">
          {words}
        </p>
      ))}
    </article>
  );
}

const Figures = memo(function Figures({ result, several }: Pick<Props, "result" | "several">) {
  const { lane, speedup } = result;
  const values = lane.run.done?.metrics ?? null;
  const figures: readonly (readonly [term: string, value: string])[] = [
    ...(several ? ([["target", targetOf(lane)]] as const) : []),
    ["time", timeWords(lane)],
    ["tokens / s", fixed(lane.tps, 1)],
    ["against plain", speedup === null ? "–" : `${fixed(speedup)}×`],
    ["tokens", `${lane.tokens.length}`],
    ["tokens a round", fixed(lane.tokens.length / Math.max(1, lane.arrivals.length))],
    ["accepted", acceptedWords(lane, values?.overall_acceptance_rate ?? null)],
  ];
  return (
    <dl className="lane-figures">
      {figures.map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
});

const acceptedWords = ({ run }: Lane, share: number | null): string =>
  (run.done?.total_drafted ?? 0) === 0 ? "nothing drafted" : percent(share);

const joined = (tokens: readonly Token[]): string => tokens.map(({ text }) => text).join("");

interface TextProps {
  readonly tokens: readonly Token[];
  readonly arrived: number;
  /** From this token on the text differs from that of the first lane of its target. */
  readonly difference: number | null;
  readonly number: number;
}

const Text = memo(function Text({ tokens, arrived, difference, number }: TextProps) {
  const scroller = useRef<HTMLElement>(null);
  const content = useRef<HTMLParagraphElement>(null);
  useFollowEnd(scroller, content);
  const same = difference === null ? arrived : Math.min(arrived, difference);
  const [shared, own] = useMemo(
    () => [joined(tokens.slice(0, same)), joined(tokens.slice(same, arrived))],
    [tokens, same, arrived],
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the text scrolls, so the keyboard must reach it
    <section ref={scroller} className="lane-text" aria-label={`Text of lane ${number}`} tabIndex={0}>
      <p ref={content}>
        {shared}
        {own !== "" && <span className="lane-departed">{own}</span>}
      </p>
    </section>
  );
});
