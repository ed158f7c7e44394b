// Stacks rows. A row that did not change stays the same object.
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

/**
 * Stacks rows below the first `settled` rows of the layout before. A row that equals its earlier version is replaced by
 * it, so that it is not rendered again.
 */
export function stackRows(
  rows: readonly Row[],
  width: number,
  scale: Scale,
  before?: Layout,
  settled = 0,
): Omit<Layout, "resume"> {
  const kept = before?.rows.slice(0, settled) ?? [];
  const tops = before?.tops.slice(0, settled) ?? [];
  const sameScale = before?.scale.zoom === scale.zoom;
  const below = (at: number) => (tops[at] ?? 0) + ((kept[at]?.height ?? 0) + scale.rowGap);
  let top = settled > 0 ? below(settled - 1) : scale.margin / 2;
  for (const row of rows) {
    const old = sameScale ? before?.rows[kept.length] : undefined;
    const shown = old && sameRow(row, old) ? old : row;
    kept.push(shown);
    tops.push(top);
    top += shown.height + scale.rowGap;
  }
  return { scale, width, height: top + scale.margin / 2, rows: kept, tops };
}
