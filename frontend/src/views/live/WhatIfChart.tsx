// Tokens per second by depth: hatched where computed, with the interval, and solid where the run measured it.
import { scaleBand, scaleLinear } from "d3-scale";
import { useId, useRef } from "react";
import type { WhatIfAnswer } from "../../protocol/generated";
import { Hatch } from "../../ui/Hatch";
import { useSize } from "../../ui/useSize";
import { fixed } from "../../words/format";
import { whatIfPicture } from "../../words/whatIf";

const HEIGHT = 150;
const MARGIN = { top: 14, right: 2, bottom: 32, left: 30 };
const FALLBACK_WIDTH = 290;
const TICKS = 4;

interface Bar {
  readonly depth: number;
  readonly tps: number;
  readonly low: number | null;
  readonly high: number | null;
}

interface Props {
  readonly answer: WhatIfAnswer;
  /** The depth that is explained below. */
  readonly shown: number;
  /** The depth of the run; null if its policy chose it. */
  readonly measuredAt: number | null;
  /** The slider below does the same by keyboard. */
  onChoose(depth: number): void;
}

export function WhatIfChart({ answer, shown, measuredAt, onChoose }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const hatch = useId();
  const width = useSize(box)?.width || FALLBACK_WIDTH;
  const plain: Bar = { depth: 0, tps: answer.plain_tps, low: null, high: null };
  const bars: readonly Bar[] = [plain, ...answer.choices];
  const measured = answer.batch === 1 ? answer.measured_tps : null;
  const highest = Math.max(0.1, measured ?? 0, ...bars.map(({ tps, high }) => high ?? tps));
  const band = scaleBand(
    bars.map(({ depth }) => depth),
    [MARGIN.left, width - MARGIN.right],
  ).padding(0.25);
  const y = scaleLinear([0, highest], [HEIGHT - MARGIN.bottom, MARGIN.top]).nice(TICKS);
  const wide = band.bandwidth();
  const left = (depth: number) => band(depth) ?? 0;
  const middle = (depth: number) => left(depth) + wide / 2;
  const best = bars.find(({ depth }) => depth === answer.best) ?? plain;
  const solid = measured !== null && measuredAt !== null && band(measuredAt) !== undefined;
  return (
    <div ref={box} className="wi-chart">
      <svg role="img" aria-label={whatIfPicture(answer)} width={width} height={HEIGHT}>
        <Hatch id={hatch} className="wi-ink" />
        {y.ticks(TICKS).map((tick) => (
          <g key={tick} transform={`translate(0, ${y(tick)})`}>
            <line className="wi-grid" x1={MARGIN.left} x2={width - MARGIN.right} />
            <text x={MARGIN.left - 5} dy="0.32em" textAnchor="end">
              {tick}
            </text>
          </g>
        ))}
        {bars.map((bar) => (
          <g
            key={bar.depth}
            className="wi-bar"
            data-shown={bar.depth === shown || undefined}
            onPointerDown={() => onChoose(bar.depth)}
          >
            <rect
              x={left(bar.depth)}
              y={y(bar.tps)}
              width={wide}
              height={y(0) - y(bar.tps)}
              fill={`url(#${hatch})`}
            />
            {bar.low !== null && bar.high !== null && (
              <path
                className="wi-interval"
                d={`M${middle(bar.depth)},${y(bar.low)}V${y(bar.high)}m-3,0h6M${middle(bar.depth) - 3},${y(bar.low)}h6`}
              />
            )}
            <text x={middle(bar.depth)} y={HEIGHT - MARGIN.bottom + 13} textAnchor="middle">
              {bar.depth}
            </text>
          </g>
        ))}
        {solid && (
          <rect
            className="wi-measured"
            x={left(measuredAt) + wide * 0.3}
            y={y(measured)}
            width={wide * 0.4}
            height={y(0) - y(measured)}
          />
        )}
        <text
          className="wi-best"
          x={middle(best.depth)}
          y={y(Math.max(best.tps, best.high ?? 0)) - 4}
          textAnchor="middle"
        >
          {fixed(best.tps, 1)}
        </text>
        <text x={(MARGIN.left + width) / 2} y={HEIGHT - 4} textAnchor="middle">
          K; 0 is plain decoding
        </text>
      </svg>
      <ul className="wi-key">
        <li>
          <i className="wi-key-computed" aria-hidden /> computed tokens per second
        </li>
        {answer.best_share !== null && (
          <li>
            <i className="wi-key-interval" aria-hidden /> {fixed(100 * answer.level, 0)} % interval
          </li>
        )}
        {solid && (
          <li>
            <i className="wi-key-measured" aria-hidden /> measured: the run as it was
          </li>
        )}
      </ul>
    </div>
  );
}
