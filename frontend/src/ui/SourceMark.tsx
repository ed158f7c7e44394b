// The drafter of a token as a letter in its colour, in drawings and in text.
import { memo } from "react";
import { sourceOf } from "../words/sources";

const SIDE = 9.5;
/** The text or label next to it names the drafter. */
const DECORATIVE = { "aria-hidden": true } as const;

/** In an SVG drawing, centred at (x, y). */
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

/** In text, next to the drafter's name. */
export function SourceBadge({ source }: { source: string }) {
  const { letter, colour } = sourceOf(source);
  return (
    <span className="source-badge" style={{ background: colour }} aria-hidden="true">
      {letter}
    </span>
  );
}
