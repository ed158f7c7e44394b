// Columns over a number, as k: hatched where computed, solid where measured, with the line of break-even.
import { scaleBand, scaleLinear } from "d3-scale";
import { useId, useRef } from "react";
import { useSize } from "../../ui/useSize";
import { fixed } from "../../words/format";
import { Hatch } from "./Hatch";

const HEIGHT = 230;
const MARGIN = { top: 18, right: 4, bottom: 34, left: 30 };
const FALLBACK_WIDTH = 600;
const TICKS = 4;

export interface Column {
  readonly x: number;
  readonly value: number;
}

interface Props {
  /** All that the picture shows, in words. */
  readonly label: string;
  readonly unit: string;
  readonly columns: readonly Column[];
  readonly marked: number | null;
  readonly chosen: number;
  readonly measured: Column | null;
  /** The value of break-even. */
  readonly line: number;
  onChoose(x: number): void;
}

export function Columns({ label, unit, columns, marked, chosen, measured, line, onChoose }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const hatch = useId();
  const width = useSize(box)?.width || FALLBACK_WIDTH;
  const highest = Math.max(1.2, line, measured?.value ?? 0, ...columns.map(({ value }) => value));
  const band = scaleBand(
    columns.map(({ x }) => x),
    [MARGIN.left, width - MARGIN.right],
  ).padding(0.25);
  const y = scaleLinear([0, highest], [HEIGHT - MARGIN.bottom, MARGIN.top]).nice(TICKS);
  const at = (x: number) => band(x) ?? 0;
  return (
    <div ref={box} className="learn-columns">
      <svg role="img" aria-label={label} width={width} height={HEIGHT}>
        <Hatch id={hatch} className="columns-ink" />
        {y.ticks(TICKS).map((tick) => (
          <g key={tick} transform={`translate(0, ${y(tick)})`}>
            <line className="columns-grid" x1={MARGIN.left} x2={width - MARGIN.right} />
            <text x={MARGIN.left - 6} dy="0.32em" textAnchor="end">
              {tick}
            </text>
          </g>
        ))}
        {columns.map(({ x, value }) => {
          const top = y(Math.max(0, value));
          return (
            // A slider beside the picture does the same by keyboard.
            <g
              key={x}
              className="column"
              data-chosen={x === chosen || undefined}
              onPointerDown={() => onChoose(x)}
            >
              <rect
                className="column-target"
                x={at(x)}
                y={MARGIN.top}
                width={band.bandwidth()}
                height={HEIGHT}
              />
              <rect
                className="column-bar"
                x={at(x)}
                y={top}
                width={band.bandwidth()}
                height={y(0) - top}
                fill={`url(#${hatch})`}
              />
              <text x={at(x) + band.bandwidth() / 2} y={HEIGHT - MARGIN.bottom + 14} textAnchor="middle">
                {x}
              </text>
              {x === marked && (
                <text
                  className="column-best"
                  x={at(x) + band.bandwidth() / 2}
                  y={top - 5}
                  textAnchor="middle"
                >
                  {fixed(value)}
                </text>
              )}
            </g>
          );
        })}
        {measured && (
          <rect
            className="column-measured"
            x={at(measured.x) + band.bandwidth() * 0.3}
            y={y(measured.value)}
            width={band.bandwidth() * 0.4}
            height={y(0) - y(measured.value)}
          />
        )}
        <line className="columns-line" x1={MARGIN.left} x2={width - MARGIN.right} y1={y(line)} y2={y(line)} />
        <text x={width / 2} y={HEIGHT - 4} textAnchor="middle">
          {unit}
        </text>
      </svg>
    </div>
  );
}
