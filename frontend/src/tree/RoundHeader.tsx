// The header of a round: its number, its time, and a thin bar that divides the time into parts.
import { memo } from "react";
import type { Round } from "../run/model";
import { aheadMs, timeParts } from "../run/times";
import { milliseconds } from "../words/format";
import { planReason } from "../words/plan";
import type { LayoutSegment } from "./geometry";
import type { Scale } from "./scale";
import { barParts } from "./timeBar";

/** The nodes have the text for screen readers. */
const DECORATIVE = { "aria-hidden": true } as const;

interface Props {
  readonly segment: LayoutSegment;
  readonly scale: Scale;
  /** Whether the round comes after the attended one, so that it is dimmed. */
  readonly later: boolean;
}

export const RoundHeader = memo(function RoundHeader({ segment, scale, later }: Props) {
  const { x, width, title, time } = segment;
  return (
    <g
      {...DECORATIVE}
      className={later ? "tt-round-header is-later" : "tt-round-header"}
      transform={`translate(${x}, 0)`}
    >
      <title>{roundSummary(segment.round)}</title>
      <rect className="tt-hit" width={width} height={scale.barY + scale.barHeight} />
      {title !== null && (
        <text className="tt-title" y={scale.barY - 5} fontSize={scale.headerFont}>
          {title}
        </text>
      )}
      {time !== null && (
        <text className="tt-time" x={width} y={scale.barY - 5} fontSize={scale.headerFont}>
          {time}
        </text>
      )}
      <TimeBar segment={segment} scale={scale} />
    </g>
  );
});

function TimeBar({ segment, scale }: { segment: LayoutSegment; scale: Scale }) {
  return barParts(segment).map(({ part, left, width }) => (
    <rect
      key={part}
      className={`tt-bar is-${part}`}
      x={left}
      y={scale.barY}
      width={width}
      height={scale.barHeight}
    />
  ));
}

/** The tooltip: the measured times, and the plan of `auto` as expected. */
export function roundSummary(round: Round): string {
  if (!round.metrics) return `Round ${round.index + 1}, in progress`;
  const parts = timeParts(round.metrics).filter(({ ms }) => ms > 0);
  const words = parts.map(({ part, ms }) => `${part} ${milliseconds(ms)}`).join(", ");
  const overlappedMs = aheadMs(round.metrics);
  const ahead = overlappedMs > 0 ? `; drafting ahead, overlapped, ${milliseconds(overlappedMs)}` : "";
  const { plan, round_ms } = round.metrics;
  const reason = plan ? `\nExpected: ${planReason(plan)}` : "";
  return `Round ${round.index + 1}, measured: ${milliseconds(round_ms)} (${words}${ahead})${reason}`;
}
