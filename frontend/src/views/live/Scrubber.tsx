// The run as one cell per round: height is the accepted share, the foot is red for a rejection and blue for a bonus.
import { type KeyboardEvent, memo, type PointerEvent, useMemo, useRef } from "react";
import { useStore } from "../../app/useStore";
import type { Round } from "../../run/model";
import type { Playback } from "../../run/playback";
import * as playback from "../../run/playback";
import { changedRounds, type ScrubberCell, scrubberCell } from "../../run/selectors";
import { percent } from "../../words/format";

const HEIGHT = 28;
const FOOT = 5;
const WIDEST_CELL_PX = 26;

/** One SVG path per colour, whatever the number of rounds. */
export function cellPaths(cells: readonly ScrubberCell[]) {
  const paths = { accepted: "", rejection: "", bonus: "", plain: "" };
  const gap = cells.length > 150 ? 0.1 : 0.16;
  cells.forEach((cell, at) => {
    const box = (top: number, height: number) => `M${at} ${top}h${1 - gap}v${height}h${gap - 1}z`;
    const room = HEIGHT - FOOT - 1.5;
    if (cell.share !== null && cell.share > 0)
      paths.accepted += box(room * (1 - cell.share), room * cell.share);
    const foot = cell.end === "open" ? "plain" : cell.end;
    paths[foot] += box(HEIGHT - FOOT, FOOT);
  });
  return paths;
}

const Picture = memo(function Picture({ rounds }: { rounds: readonly Round[] }) {
  const cells = useMemo(() => rounds.map(scrubberCell), [rounds]);
  const paths = useMemo(() => cellPaths(cells), [cells]);
  return (
    <svg
      aria-hidden
      className="scrubber-picture"
      viewBox={`0 0 ${Math.max(1, cells.length)} ${HEIGHT}`}
      preserveAspectRatio="none"
    >
      <path d={paths.accepted} fill="var(--status-accepted)" />
      <path d={paths.rejection} fill="var(--status-rejected)" />
      <path d={paths.bonus} fill="var(--status-bonus)" />
      <path d={paths.plain} fill="var(--status-plain)" />
    </svg>
  );
});

function valueText(play: Playback, shown: number): string {
  const last = play.full.rounds[shown - 1];
  if (!last) return "before the first round";
  const cell = scrubberCell(last);
  const share = cell.share === null ? "no draft" : `${percent(cell.share)} accepted`;
  return `round ${shown} of ${play.roundEnds.length}, ${share}, ${cell.end}`;
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

export function Scrubber({ play }: { play: Playback }) {
  const store = useStore();
  const track = useRef<HTMLDivElement>(null);
  const total = play.full.rounds.length;
  const shown = playback.roundsShown(play);
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
  const share = total > 0 ? Math.min(1, play.shown.rounds.length / total) : 0;
  return (
    <div className="scrubber">
      <div
        ref={track}
        role="slider"
        tabIndex={0}
        aria-label="Round shown"
        aria-valuemin={0}
        aria-valuemax={play.roundEnds.length}
        aria-valuenow={shown}
        aria-valuetext={valueText(play, shown)}
        className="scrubber-track"
        style={{ maxWidth: Math.max(1, total) * WIDEST_CELL_PX }}
        onKeyDown={onKeyDown}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          seekTo(event);
        }}
        onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && seekTo(event)}
      >
        <Picture rounds={play.full.rounds} />
        {changedRounds(play.full).map((round) => (
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
}
