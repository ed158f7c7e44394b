// Plain decoding on a timeline: what the server does, and when the tokens arrive. Hatched, because it is computed.
import { scaleLinear } from "d3-scale";
import { useId, useRef } from "react";
import { arrivalsMs, firstTokenMs, type Plain, prefillMs } from "../../theory/waiting";
import { Hatch } from "../../ui/Hatch";
import { useSize } from "../../ui/useSize";
import { milliseconds } from "../../words/format";

const TOKENS = 12;
const FALLBACK_WIDTH = 600;
const LEFT = 60;
const LANE = 34;
const HEIGHT = 168;
const TOPS = { server: 26, reader: 76, recorded: 118 };

interface Props {
  readonly plain: Plain;
  readonly label: string;
  /** The measured time of the recorded prompt; null without one. */
  readonly recordedMs: number | null;
}

export function Timeline({ plain, label, recordedMs }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const hatch = useId();
  const width = useSize(box)?.width || FALLBACK_WIDTH;
  const arrivals = arrivalsMs(plain, TOKENS);
  const end = Math.max(arrivals.at(-1) ?? 0, recordedMs ?? 0, 1);
  const x = scaleLinear([0, end], [LEFT, width - 12]);
  const way = plain.roundTripMs / 2;
  const passMs = 1000 / plain.decodeTps;
  const decodeFrom = way + prefillMs(plain);
  const ticks = x.ticks(width < 500 ? 3 : 6);
  return (
    <div ref={box} className="learn-columns">
      <svg role="img" aria-label={label} width={width} height={HEIGHT}>
        <Hatch id={hatch} className="columns-ink" />
        <text x={0} y={TOPS.server + LANE / 2 + 4}>
          server
        </text>
        <text x={0} y={TOPS.reader + LANE / 2 + 4}>
          you
        </text>
        <Block
          x={x(way)}
          top={TOPS.server}
          width={x(decodeFrom) - x(way)}
          hatch={hatch}
          className="is-prefill"
        />
        {arrivals.slice(1).map((arrival, pass) => (
          <Block
            key={arrival}
            x={x(decodeFrom + pass * passMs)}
            top={TOPS.server}
            width={x(passMs) - x(0)}
            hatch={hatch}
            className="is-pass"
          />
        ))}
        <line
          className="timeline-wait"
          x1={x(0)}
          x2={x(firstTokenMs(plain))}
          y1={TOPS.reader + 17}
          y2={TOPS.reader + 17}
        />
        {arrivals.map((arrival) => (
          <circle key={arrival} className="timeline-token" cx={x(arrival)} cy={TOPS.reader + 17} r={4} />
        ))}
        {recordedMs !== null && (
          <>
            <text x={0} y={TOPS.recorded + 14}>
              recorded
            </text>
            <rect
              className="column-measured"
              x={LEFT}
              y={TOPS.recorded + 4}
              width={x(recordedMs) - LEFT}
              height={14}
            />
          </>
        )}
        <line className="columns-grid" x1={LEFT} x2={width} y1={HEIGHT - 22} y2={HEIGHT - 22} />
        {ticks.map((tick) => (
          <text key={tick} x={x(tick)} y={HEIGHT - 6} textAnchor="middle">
            {milliseconds(tick)}
          </text>
        ))}
        <text x={LEFT} y={16}>
          prefill, then one pass for each token
        </text>
      </svg>
    </div>
  );
}

interface BlockProps {
  readonly x: number;
  readonly top: number;
  readonly width: number;
  readonly hatch: string;
  readonly className: string;
}

const Block = ({ x, top, width, hatch, className }: BlockProps) => (
  <rect
    className={`timeline-block ${className}`}
    x={x}
    y={top}
    width={Math.max(0, width)}
    height={LANE}
    fill={`url(#${hatch})`}
  />
);
