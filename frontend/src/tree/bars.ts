// At a small zoom each round is one bar.
import type { Round, Status } from "../run/model";
import type { Layout, LayoutBar, Row } from "./geometry";
import { stackRows } from "./rows";
import type { Scale } from "./scale";

export interface RoundCounts {
  readonly accepted: number;
  /** Tested and not accepted. */
  readonly rejected: number;
  /** Never tested. */
  readonly discarded: number;
  readonly pending: number;
  /** The extra token after the accepted path. */
  readonly extra: "resampled" | "bonus" | "plain" | null;
}

export function countsOf(round: Round): RoundCounts {
  const counts = { accepted: 0, rejected: 0, discarded: 0, pending: 0 };
  for (const { status } of round.drafted) if (status in counts) counts[status as keyof typeof counts] += 1;
  const last = round.emitted.at(-1)?.status;
  const extra = last === "resampled" || last === "bonus" || last === "plain" ? last : null;
  return { ...counts, extra };
}

/** Room above the parts for the number of the round. */
export const NUMBER_HEIGHT = 13;

/** Whether there is room for the number of the round. */
export const isNumbered = ({ width, height }: LayoutBar): boolean => width >= 24 && height >= 18;

/** The token that a round as a bar stands for. */
export const barKey = ({ round }: LayoutBar): string | undefined =>
  round.emitted[0]?.key ?? round.drafted[0]?.key;

/** The tokens of a round by status, side by side, in pixels from the left end of the bar. */
export function stackOf({ round, width }: LayoutBar): { status: Status; left: number; width: number }[] {
  const { accepted, rejected, discarded, pending, extra } = countsOf(round);
  const counts: [Status, number][] = [
    ["accepted", accepted],
    ["rejected", rejected],
    ["discarded", discarded],
    ["pending", pending],
  ];
  if (extra) counts.push([extra, 1]);
  const parts = counts.filter(([, count]) => count > 0);
  const total = parts.reduce((sum, [, count]) => sum + count, 0) || 1;
  const gap = width > 20 ? 1 : 0;
  let end = 0;
  return parts.map(([status, count]) => {
    const left = end;
    const length = (count / total) * width;
    end += length;
    return { status, left, width: Math.max(1, length - gap) };
  });
}

export function layoutBars(rounds: readonly Round[], width: number, scale: Scale, before?: Layout): Layout {
  const pitch = scale.cellWidth + scale.roundGap;
  const perRow = Math.max(1, Math.floor((width - 2 * scale.margin + scale.roundGap) / pitch));
  const rows: Row[] = [];
  for (let start = 0; start < rounds.length; start += perRow) {
    const bars: LayoutBar[] = rounds.slice(start, start + perRow).map((round, index) => ({
      round,
      x: scale.margin + index * pitch,
      y: 0,
      width: scale.cellWidth,
      height: scale.cellHeight,
    }));
    rows.push({ nodes: [], edges: [], segments: [], bars, height: scale.cellHeight });
  }
  return { ...stackRows(rows, width, scale, before), resume: null };
}
