// Stacks rows. A row that did not change stays the same object.
import type { Round } from "../run/model";
import type { Layout, Row } from "./geometry";
import type { Scale } from "./scale";

function sameRow(a: Row, b: Row): boolean {
  return (
    a.height === b.height &&
    a.nodes.length === b.nodes.length &&
    a.edges.length === b.edges.length &&
    a.segments.length === b.segments.length &&
    a.bars.length === b.bars.length &&
    a.nodes.every((node, i) => same(node, b.nodes[i])) &&
    a.edges.every((edge, i) => edge.path === b.edges[i]?.path && edge.kind === b.edges[i]?.kind) &&
    a.segments.every((segment, i) => same(segment, b.segments[i])) &&
    a.bars.every((bar, i) => same(bar, b.bars[i]))
  );
}

function same<T extends object>(a: T, b: T | undefined): boolean {
  return b !== undefined && (Object.keys(a) as (keyof T)[]).every((key) => a[key] === b[key]);
}

/** Stacks the rows. A row that equals its earlier version is replaced by it, so that it is not rendered again. */
export function stackRows(rows: Row[], width: number, scale: Scale, before?: Layout): Layout {
  const kept = rows.map((row, index) => {
    const old = before?.scale.zoom === scale.zoom ? before.rows[index] : undefined;
    return old && sameRow(row, old) ? old : row;
  });
  const tops: number[] = [];
  const rowOf = new Map<string, number>();
  const spine: string[] = [];
  let top = scale.margin / 2;
  kept.forEach((row, index) => {
    tops.push(top);
    top += row.height + scale.rowGap;
    for (const node of row.nodes) {
      rowOf.set(node.token.key, index);
      if (node.lane === 0) spine.push(node.token.key);
    }
    for (const bar of row.bars) indexBar(bar.round, index, rowOf, spine);
  });
  return { scale, width, height: top + scale.margin / 2, rows: kept, tops, rowOf, spine };
}

function indexBar(round: Round, index: number, rowOf: Map<string, number>, spine: string[]): void {
  for (const token of round.drafted) rowOf.set(token.key, index);
  for (const token of round.emitted) {
    rowOf.set(token.key, index);
    spine.push(token.key);
  }
}
