// Who drafted: a small letter in the colour of the source, in the tree and in words.
import { memo } from "react";
import { sourceOf } from "../words/sources";

const SIDE = 9.5;
/** Words or a label beside it say the same. */
const DECORATIVE = { "aria-hidden": true } as const;

/** In a drawing, around its middle. */
export const SourceMark = memo(function SourceMark({
  source,
  x,
  y,
}: {
  source: string;
  x: number;
  y: number;
}) {
  const { letter, colour } = sourceOf(source);
  return (
    <g {...DECORATIVE} className="tt-source" transform={`translate(${x}, ${y})`}>
      <rect x={-SIDE / 2} y={-SIDE / 2} width={SIDE} height={SIDE} rx={2} fill={colour} />
      <text y={2.7} fontSize={7.5}>
        {letter}
      </text>
    </g>
  );
});

/** Beside words that name it. */
export function SourceBadge({ source }: { source: string }) {
  const { letter, colour } = sourceOf(source);
  return (
    <span className="source-badge" style={{ background: colour }} aria-hidden="true">
      {letter}
    </span>
  );
}
