// A round as one bar: its tokens by status.
import { memo } from "react";
import { barKey, isNumbered, NUMBER_HEIGHT, stackOf } from "./bars";
import { describeRound } from "./describe";
import type { LayoutBar } from "./geometry";
import type { Highlight } from "./highlight";

interface Props extends Highlight {
  readonly bar: LayoutBar;
  readonly id: string;
}

const DECORATIVE = { "aria-hidden": true } as const;

export const RoundBar = memo(function RoundBar({ bar, id, hovered, selected, active }: Props) {
  const { round, width, height } = bar;
  const contains = (key: string | null) => key !== null && Number.parseInt(key, 10) === round.index;
  const numbered = isNumbered(bar);
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
      data-key={barKey(bar)}
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
      <Stack bar={bar} top={numbered ? NUMBER_HEIGHT : 0} />
    </g>
  );
});

function Stack({ bar, top }: { bar: LayoutBar; top: number }) {
  return stackOf(bar).map(({ status, left, width }) => (
    <rect
      key={status}
      className={`tt-part is-${status}`}
      x={left}
      y={top}
      width={width}
      height={bar.height - top}
      rx={1}
    />
  ));
}
