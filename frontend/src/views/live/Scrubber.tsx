// The run as one cell per round: height is the accepted share, the foot is red for a rejection and blue for a bonus.
import { type KeyboardEvent, memo, type PointerEvent, useRef } from "react";
import { useStore } from "../../app/useStore";
import type { Round, Run } from "../../run/model";
import * as playback from "../../run/playback";
import { changedRounds, type ScrubberCell, scrubberCell } from "../../run/selectors";
import { percent } from "../../words/format";

const HEIGHT = 28;
const FOOT = 5;
const WIDEST_CELL_PX = 26;

/** A long run is drawn in parts of so many rounds, so that a new round draws only the last part again. */
const PART_ROUNDS = 64;

/** One SVG path per colour, whatever the number of rounds. `first`: the place of the first cell. */
export function cellPaths(cells: readonly ScrubberCell[], first = 0, gap = 0.16) {
  const paths = { accepted: "", rejection: "", bonus: "", plain: "" };
  cells.forEach((cell, index) => {
    const at = first + index;
    const box = (top: number, height: number) => `M${at} ${top}h${1 - gap}v${height}h${gap - 1}z`;
    const room = HEIGHT - FOOT - 1.5;
    if (cell.share !== null && cell.share > 0)
      paths.accepted += box(room * (1 - cell.share), room * cell.share);
    const foot = cell.end === "open" ? "plain" : cell.end;
    paths[foot] += box(HEIGHT - FOOT, FOOT);
  });
  return paths;
}

interface PartProps {
  readonly rounds: readonly Round[];
  readonly first: number;
  readonly gap: number;
}

const Part = memo(
  function Part({ rounds, first, gap }: PartProps) {
    const paths = cellPaths(rounds.map(scrubberCell), first, gap);
    return (
      <>
        <path d={paths.accepted} fill="var(--status-accepted)" />
        <path d={paths.rejection} fill="var(--status-rejected)" />
        <path d={paths.bonus} fill="var(--status-bonus)" />
        <path d={paths.plain} fill="var(--status-plain)" />
      </>
    );
  },
  (a, b) =>
    a.first === b.first &&
    a.gap === b.gap &&
    a.rounds.length === b.rounds.length &&
    a.rounds.every((round, at) => scrubberCell(round) === scrubberCell(b.rounds[at] as Round)),
);

const Picture = memo(function Picture({ rounds }: { rounds: readonly Round[] }) {
  const parts = Array.from({ length: Math.ceil(rounds.length / PART_ROUNDS) }, (_, at) => at * PART_ROUNDS);
  return (
    <svg
      aria-hidden
      className="scrubber-picture"
      viewBox={`0 0 ${Math.max(1, rounds.length)} ${HEIGHT}`}
      preserveAspectRatio="none"
    >
      {parts.map((first) => (
        <Part
          key={first}
          first={first}
          gap={rounds.length > 150 ? 0.1 : 0.16}
          rounds={rounds.slice(first, first + PART_ROUNDS)}
        />
      ))}
    </svg>
  );
});

function valueText(full: Run, shown: number, total: number): string {
  const last = full.rounds[shown - 1];
  if (!last) return "before the first round";
  const cell = scrubberCell(last);
  const share = cell.share === null ? "no draft" : `${percent(cell.share)} accepted`;
  return `round ${shown} of ${total}, ${share}, ${cell.end}`;
}

const KEYS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -10,
  PageUp: 10,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

/** The whole run, and how much of it is shown. */
interface Props {
  readonly full: Run;
  /** The number of shown rounds, with the one in progress. */
  readonly begun: number;
  /** The number of whole rounds that are shown. */
  readonly shown: number;
  /** The number of whole rounds of the run. */
  readonly finished: number;
}

export const Scrubber = memo(function Scrubber({ full, begun, shown, finished }: Props) {
  const store = useStore();
  const track = useRef<HTMLDivElement>(null);
  const total = full.rounds.length;
  const seek = (rounds: number) => store.playback((state) => playback.seekRound(state, rounds));
  const seekTo = (event: PointerEvent) => {
    const box = track.current?.getBoundingClientRect();
    if (box && box.width > 0) seek(Math.ceil(((event.clientX - box.left) / box.width) * total));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const change = KEYS[event.key];
    if (change === undefined) return;
    event.preventDefault();
    seek(shown + change);
  };
  const share = total > 0 ? Math.min(1, begun / total) : 0;
  return (
    <div className="scrubber">
      <div
        ref={track}
        role="slider"
        tabIndex={0}
        aria-label="Round shown"
        aria-valuemin={0}
        aria-valuemax={finished}
        aria-valuenow={shown}
        aria-valuetext={valueText(full, shown, finished)}
        className="scrubber-track"
        style={{ maxWidth: Math.max(1, total) * WIDEST_CELL_PX }}
        onKeyDown={onKeyDown}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          seekTo(event);
        }}
        onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && seekTo(event)}
      >
        <Picture rounds={full.rounds} />
        {changedRounds(full).map((round) => (
          <span
            key={round}
            aria-hidden
            className="scrubber-change"
            title={`Other settings from round ${round + 1} on`}
            style={{ left: `${(100 * round) / Math.max(1, total)}%` }}
          />
        ))}
        <span aria-hidden className="scrubber-unplayed" style={{ left: `${share * 100}%` }} />
        {share > 0 && <span aria-hidden className="scrubber-head" style={{ left: `${share * 100}%` }} />}
      </div>
    </div>
  );
});
