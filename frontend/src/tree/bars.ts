// At a small zoom each round is one bar.
import type { Round } from "../run/model";
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
