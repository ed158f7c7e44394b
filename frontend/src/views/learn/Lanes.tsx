// Timelines of several modes on one clock. Hatched, because they are computed.
import { scaleLinear } from "d3-scale";
import { useId, useRef } from "react";
import type { Block, Lane, Part } from "../../theory/network";
import { Hatch } from "../../ui/Hatch";
import { useSize } from "../../ui/useSize";
import { milliseconds } from "../../words/format";

const FALLBACK_WIDTH = 600;
const LANE = 62;
const BAR = 16;
const AXIS = 24;
const PARTS: readonly Part[] = ["draft", "ahead", "network", "verify"];

interface Props {
  readonly lanes: readonly Lane[];
  /** What stands above each lane. */
  readonly names: readonly string[];
  readonly label: string;
}

export function Lanes({ lanes, names, label }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const hatch = useId();
  const width = useSize(box)?.width || FALLBACK_WIDTH;
  const end = Math.max(1, ...lanes.map(({ arrivals }) => arrivals.at(-1) ?? 0));
  const x = scaleLinear([0, end], [4, width - 24]);
  const height = lanes.length * LANE + AXIS;
  return (
    <div ref={box} className="learn-columns">
      <svg role="img" aria-label={label} width={width} height={height}>
        {PARTS.map((part) => (
          <Hatch key={part} id={`${hatch}-${part}`} className={`part-${part}`} />
        ))}
        {lanes.map((lane, index) => (
          <g key={lane.mode} transform={`translate(0, ${index * LANE})`}>
            <text className="lane-name" y={13}>
              {names[index]}
            </text>
            {lane.blocks.filter(hasLength).map((block) => (
              <LaneBlock
                key={`${block.part}${block.fromMs}${block.toMs}`}
                block={block}
                x={x(block.fromMs)}
                width={x(block.toMs) - x(block.fromMs)}
                fill={`url(#${hatch}-${block.part})`}
              />
            ))}
            {[...new Set(lane.arrivals)].map((arrival) => {
              const count = lane.arrivals.filter((other) => other === arrival).length;
              return (
                <circle
                  key={arrival}
                  className="timeline-token"
                  cx={x(arrival)}
                  cy={47}
                  r={Math.min(7, 1.5 + Math.sqrt(3 * count))}
                />
              );
            })}
          </g>
        ))}
        {x.ticks(width < 500 ? 3 : 6).map((tick) => (
          <text key={tick} x={x(tick)} y={height - 6} textAnchor={tick === 0 ? "start" : "middle"}>
            {milliseconds(tick)}
          </text>
        ))}
      </svg>
    </div>
  );
}

const hasLength = ({ fromMs, toMs }: Block): boolean => toMs > fromMs;

interface LaneBlockProps {
  readonly block: Block;
  readonly x: number;
  readonly width: number;
  readonly fill: string;
}

/** Drafting ahead overlaps with the call, so it has the lower half of the lane. */
function LaneBlock({ block: { part }, x, width, fill }: LaneBlockProps) {
  const top = part === "ahead" ? 20 + BAR / 2 : 20;
  const height = part === "ahead" ? BAR / 2 : BAR;
  return (
    <rect
      className={`lane-block part-${part}`}
      x={x}
      y={top}
      width={width}
      height={height}
      style={{ fill: part === "network" ? "none" : fill }}
    />
  );
}
