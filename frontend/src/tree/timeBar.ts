// The bar under the header of a round: its time, divided into parts.
import type { Metrics } from "../protocol/generated";
import { type TimePart, timeParts } from "../run/times";
import type { LayoutSegment } from "./geometry";

/** A part of the bar, in pixels from the left end of its segment. Rounds in progress have one part, `open`. */
export interface BarPart {
  readonly part: TimePart | "open";
  readonly left: number;
  readonly width: number;
}

/** Shorter parts cannot be seen. */
const SHORTEST = 0.2;

export function barParts({ round, width, from, to }: LayoutSegment): BarPart[] {
  if (!round.metrics) return [{ part: "open", left: 0, width }];
  const at = (share: number) => ((Math.min(Math.max(share, from), to) - from) / (to - from)) * width;
  return shares(round.metrics).flatMap(({ part, start, end }) => {
    const left = at(start);
    const length = at(end) - left;
    return length > SHORTEST ? [{ part, left, width: length }] : [];
  });
}

function shares(metrics: Metrics) {
  const parts = timeParts(metrics);
  const total = parts.reduce((sum, { ms }) => sum + ms, 0) || 1;
  let end = 0;
  return parts.map(({ part, ms }) => {
    const start = end;
    end += ms / total;
    return { part, start, end };
  });
}
