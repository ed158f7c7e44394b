// A round as one bar: its tokens by status.
import { memo } from "react";
import { countsOf } from "./bars";
import { describeRound } from "./describe";
import type { LayoutBar } from "./geometry";
import type { Highlight } from "./highlight";

interface Props extends Highlight {
  readonly bar: LayoutBar;
  readonly id: string;
}

const ROOM_FOR_NUMBER = 24;

const DECORATIVE = { "aria-hidden": true } as const;

export const RoundBar = memo(function RoundBar({ bar, id, hovered, selected, active }: Props) {
  const { round, width, height } = bar;
  const contains = (key: string | null) => key !== null && Number.parseInt(key, 10) === round.index;
  const numbered = width >= ROOM_FOR_NUMBER && height >= 18;
  const names = [
    "tt-round",
    (contains(hovered) || contains(active)) && "is-lit",
    contains(selected) && "is-selected",
  ];
  return (
    <g
      role="treeitem"
      id={`${id}round-${round.index}`}
      aria-level={1}
      aria-selected={contains(selected)}
      aria-label={describeRound(round)}
      data-key={round.emitted[0]?.key ?? round.drafted[0]?.key}
      data-round={round.index}
      className={names.filter(Boolean).join(" ")}
      transform={`translate(${bar.x}, ${bar.y})`}
    >
      <rect className="tt-hit" x={-2} y={-2} width={width + 4} height={height + 4} />
      <rect className="tt-frame" x={-2.5} y={-2.5} width={width + 5} height={height + 5} rx={3} />
      {numbered && (
        <text {...DECORATIVE} className="tt-title" y={9} fontSize={9.5}>
          {round.index + 1}
        </text>
      )}
      <Stack bar={bar} top={numbered ? 13 : 0} />
    </g>
  );
});

function Stack({ bar, top }: { bar: LayoutBar; top: number }) {
  const counts = countsOf(bar.round);
  const tested = {
    accepted: counts.accepted,
    rejected: counts.rejected,
    discarded: counts.discarded,
    pending: counts.pending,
  };
  const parts = Object.entries(tested).filter(([, count]) => count > 0);
  if (counts.extra) parts.push([counts.extra, 1]);
  const total = parts.reduce((sum, [, count]) => sum + count, 0) || 1;
  const gap = bar.width > 20 ? 1 : 0;
  let x = 0;
  return (
    <>
      {parts.map(([status, count]) => {
        const length = (count / total) * bar.width;
        const left = x;
        x += length;
        return (
          <rect
            key={status}
            className={`tt-part is-${status}`}
            x={left}
            y={top}
            width={Math.max(1, length - gap)}
            height={bar.height - top}
            rx={1}
          />
        );
      })}
    </>
  );
}
