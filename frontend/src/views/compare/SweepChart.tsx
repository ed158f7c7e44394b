// Speedup against the depth: measured columns with their range, and the computed curve over them.
import { scaleBand, scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import { useRef } from "react";
import { SWEPT_DEPTHS, type SweepPoint } from "../../run/sweep";
import { useSize } from "../../ui/useSize";
import { fixed } from "../../words/format";
import { pictureWords } from "../../words/sweep";

const HEIGHT = 260;
const MARGIN = { top: 22, right: 4, bottom: 38, left: 34 };
const FALLBACK_WIDTH = 560;
const TICKS = 5;

export interface CurvePoint {
  readonly k: number;
  readonly speedup: number;
}

interface Props {
  readonly points: readonly SweepPoint[];
  readonly curve: readonly CurvePoint[];
  readonly best: number;
  /** A click does what the button of the table does. */
  onOpen(point: SweepPoint): void;
}

export function SweepChart({ points, curve, best, onOpen }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const width = useSize(box)?.width || FALLBACK_WIDTH;
  const highest = Math.max(1.2, ...points.map(({ most }) => most), ...curve.map(({ speedup }) => speedup));
  const band = scaleBand(SWEPT_DEPTHS, [MARGIN.left, width - MARGIN.right]).padding(0.3);
  const y = scaleLinear([0, highest], [HEIGHT - MARGIN.bottom, MARGIN.top]).nice(TICKS);
  const wide = band.bandwidth();
  const left = (k: number) => band(k as (typeof SWEPT_DEPTHS)[number]) ?? 0;
  const middle = (k: number) => left(k) + wide / 2;
  const path = line<CurvePoint>(
    ({ k }) => middle(k),
    ({ speedup }) => y(speedup),
  )(curve);
  return (
    <div ref={box} className="sweep-chart">
      <svg role="img" aria-label={pictureWords(points, curve)} width={width} height={HEIGHT}>
        {y.ticks(TICKS).map((tick) => (
          <g key={tick} transform={`translate(0, ${y(tick)})`}>
            <line className="sweep-grid" x1={MARGIN.left} x2={width - MARGIN.right} />
            <text x={MARGIN.left - 6} dy="0.32em" textAnchor="end">
              {tick}×
            </text>
          </g>
        ))}
        {SWEPT_DEPTHS.map((k) => (
          <text key={k} x={middle(k)} y={HEIGHT - MARGIN.bottom + 15} textAnchor="middle">
            {k}
          </text>
        ))}
        {points.map((point) => (
          <g key={point.k} className="sweep-point" data-best={point.k === best || undefined}>
            <rect
              x={left(point.k)}
              y={y(point.speedup)}
              width={wide}
              height={y(0) - y(point.speedup)}
              onPointerDown={() => onOpen(point)}
            />
            {point.most > point.least && (
              <path
                className="sweep-range"
                d={`M${middle(point.k)},${y(point.least)}V${y(point.most)}m-4,0h8M${middle(point.k) - 4},${y(point.least)}h8`}
              />
            )}
          </g>
        ))}
        <line className="sweep-line" x1={MARGIN.left} x2={width - MARGIN.right} y1={y(1)} y2={y(1)} />
        {curve.length > 1 && path && <path className="sweep-curve" d={path} />}
        {curve.length > 1 &&
          curve.map(({ k, speedup }) => (
            <circle key={k} className="sweep-dot" cx={middle(k)} cy={y(speedup)} r={3.5} />
          ))}
        {points
          .filter(({ k }) => k === best)
          .map(({ k, speedup, most }) => (
            <text
              key={k}
              className="sweep-mark"
              x={middle(k)}
              y={y(Math.max(speedup, most)) - 8}
              textAnchor="middle"
            >
              {fixed(speedup)}× best
            </text>
          ))}
        <text x={(MARGIN.left + width) / 2} y={HEIGHT - 4} textAnchor="middle">
          K, tokens in a draft; 0 is plain decoding
        </text>
      </svg>
    </div>
  );
}
