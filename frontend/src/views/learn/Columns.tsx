// Columns over a number, as k: hatched where computed, solid where measured, with the line of break-even.
import { fixed } from "../../words/format";
import { ColumnFrame } from "./ColumnFrame";

const HEIGHT = 230;
const MARGIN = { top: 18, right: 4, bottom: 34, left: 30 };

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
  const highest = Math.max(1.2, line, measured?.value ?? 0, ...columns.map(({ value }) => value));
  return (
    <ColumnFrame
      label={label}
      xs={columns.map(({ x }) => x)}
      highest={highest}
      height={HEIGHT}
      margin={MARGIN}
      gap={0.25}
      tickName={String}
    >
      {({ at, columnWidth, y, width, hatched }) => (
        <>
          {columns.map(({ x, value }) => {
            const top = y(Math.max(0, value));
            const middle = at(x) + columnWidth / 2;
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
                  width={columnWidth}
                  height={HEIGHT}
                />
                <rect
                  className="column-bar"
                  x={at(x)}
                  y={top}
                  width={columnWidth}
                  height={y(0) - top}
                  fill={hatched}
                />
                <text x={middle} y={HEIGHT - MARGIN.bottom + 14} textAnchor="middle">
                  {x}
                </text>
                {x === marked && (
                  <text className="column-best" x={middle} y={top - 5} textAnchor="middle">
                    {fixed(value)}
                  </text>
                )}
              </g>
            );
          })}
          {measured && (
            <rect
              className="column-measured"
              x={at(measured.x) + columnWidth * 0.3}
              y={y(measured.value)}
              width={columnWidth * 0.4}
              height={y(0) - y(measured.value)}
            />
          )}
          <line
            className="columns-line"
            x1={MARGIN.left}
            x2={width - MARGIN.right}
            y1={y(line)}
            y2={y(line)}
          />
          <text x={width / 2} y={HEIGHT - 4} textAnchor="middle">
            {unit}
          </text>
        </>
      )}
    </ColumnFrame>
  );
}
