// The frame of a picture of columns: its size, its scales, the lines of its ticks, and the hatching of what is computed.
import { scaleBand, scaleLinear } from "d3-scale";
import { type ReactNode, useId, useRef } from "react";
import { Hatch } from "../../ui/Hatch";
import { useSize } from "../../ui/useSize";

const FALLBACK_WIDTH = 620;
const TICKS = 4;

export interface Margin {
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly left: number;
}

/** Where things are, in pixels. */
export interface Scales {
  /** The left edge of a column. */
  at(x: number): number;
  readonly columnWidth: number;
  y(value: number): number;
  readonly width: number;
  /** The fill of a computed column. */
  readonly hatched: string;
}

interface Props {
  /** All that the picture shows, in words. */
  readonly label: string;
  /** The columns' numbers, from the left. */
  readonly xs: readonly number[];
  readonly highest: number;
  readonly height: number;
  readonly margin: Margin;
  /** The gap between two columns, as a share of their distance. */
  readonly gap: number;
  tickName(value: number): string;
  children(scales: Scales): ReactNode;
}

export function ColumnFrame({ label, xs, highest, height, margin, gap, tickName, children }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const hatch = useId();
  const width = useSize(box)?.width || FALLBACK_WIDTH;
  const band = scaleBand(xs, [margin.left, width - margin.right]).padding(gap);
  const y = scaleLinear([0, highest], [height - margin.bottom, margin.top]).nice(TICKS);
  const scales: Scales = {
    at: (x) => band(x) ?? 0,
    columnWidth: band.bandwidth(),
    y,
    width,
    hatched: `url(#${hatch})`,
  };
  return (
    <div ref={box} className="learn-columns">
      <svg role="img" aria-label={label} width={width} height={height}>
        <Hatch id={hatch} className="columns-ink" />
        {y.ticks(TICKS).map((tick) => (
          <g key={tick} transform={`translate(0, ${y(tick)})`}>
            <line className="columns-grid" x1={margin.left} x2={width - margin.right} />
            <text x={margin.left - 6} dy="0.32em" textAnchor="end">
              {tickName(tick)}
            </text>
          </g>
        ))}
        {children(scales)}
      </svg>
    </div>
  );
}
