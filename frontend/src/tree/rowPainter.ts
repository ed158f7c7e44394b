// Draws the visible rows on a canvas: only those that changed since the last frame, as long as the window stays.
import type { Attention } from "../run/branches";
import { firstWith } from "./find";
import type { Layout, Row } from "./geometry";
import type { Highlight } from "./highlight";
import { paintRow, type RowLook } from "./paintRow";
import { type Palette, paletteOf } from "./palette";

/** What is to be seen. */
export interface Picture extends Highlight {
  readonly layout: Layout;
  /** The top and the height of the window on the layout, in pixels. */
  readonly from: number;
  readonly height: number;
  readonly showSources: boolean;
  readonly attention: Attention | null;
  readonly flowPx: number;
}

interface Painted {
  readonly row: Row;
  readonly top: number;
  readonly look: RowLook;
}

/** What a drawing depends on as a whole. */
interface Sheet {
  readonly from: number;
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
  readonly zoom: number;
  readonly palette: Palette;
}

const LOOKS = ["showSources", "attention", "later", "hovered", "selected", "active"] as const;

const sameLook = (a: RowLook, b: RowLook, row: Row): boolean =>
  LOOKS.every((part) => a[part] === b[part]) &&
  (a.flowPx === b.flowPx || !row.edges.some(({ kind }) => kind === "waiting"));

const holds = (row: Row, key: string | null): string | null => {
  if (key === null) return null;
  const round = Number.parseInt(key, 10);
  const isHere =
    row.nodes.some(({ token }) => token.key === key) || row.bars.some((bar) => bar.round.index === round);
  return isHere ? key : null;
};

/** The indices of the rows that can be seen between two heights: [first, last). */
export function rowsBetween({ tops }: Layout, from: number, to: number): readonly [number, number] {
  // The row before the first one that begins inside the window can end in it.
  return [Math.max(0, firstWith(tops, (top) => top >= from) - 1), firstWith(tops, (top) => top > to)];
}

/** The look of one row. */
export function lookOf(row: Row, picture: Picture): RowLook {
  const { attention, showSources, flowPx } = picture;
  const isFrom = (round: number) => row.nodes.some(({ token }) => token.round >= round);
  return {
    showSources,
    flowPx,
    attention: attention && isFrom(attention.round) ? attention : null,
    later: attention !== null && !row.nodes.some(({ token }) => token.round <= attention.round),
    hovered: holds(row, picture.hovered),
    selected: holds(row, picture.selected),
    active: holds(row, picture.active),
  };
}

export class RowPainter {
  private sheet: Sheet | null = null;
  private readonly painted = new Map<number, Painted>();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly context: CanvasRenderingContext2D,
  ) {}

  /** Returns how many rows it drew. */
  paint(picture: Picture): number {
    const { layout, from, height } = picture;
    const sheet = {
      ...{ from, height, width: layout.width, zoom: layout.scale.zoom },
      ...{ ratio: window.devicePixelRatio || 1, palette: paletteOf(this.canvas) },
    };
    const [first, last] = rowsBetween(layout, from, from + height);
    if (!this.isSame(sheet) || this.hasMoved(layout, first, last)) this.clear(sheet);
    let count = 0;
    for (let at = first; at < last; at += 1) {
      const row = layout.rows[at] as Row;
      const look = lookOf(row, picture);
      const before = this.painted.get(at);
      if (before?.row === row && sameLook(before.look, look, row)) continue;
      this.paintRow({ row, top: layout.tops[at] ?? 0, look }, before, layout, sheet);
      this.painted.set(at, { row, top: layout.tops[at] ?? 0, look });
      count += 1;
    }
    return count;
  }

  private isSame(sheet: Sheet): boolean {
    const { sheet: last } = this;
    return (
      last !== null && (Object.keys(sheet) as (keyof Sheet)[]).every((part) => last[part] === sheet[part])
    );
  }

  /** Whether a row that is on the sheet is elsewhere now, or gone. */
  private hasMoved({ tops }: Layout, first: number, last: number): boolean {
    for (const [at, { top }] of this.painted) if (at < first || at >= last || tops[at] !== top) return true;
    return false;
  }

  private clear(sheet: Sheet): void {
    const { canvas, context } = this;
    const [width, height] = [Math.round(sheet.width * sheet.ratio), Math.round(sheet.height * sheet.ratio)];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    this.sheet = sheet;
    this.painted.clear();
  }

  private paintRow(
    { row, top, look }: Painted,
    before: Painted | undefined,
    { scale, width }: Layout,
    { from, ratio, palette }: Sheet,
  ): void {
    const { context } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, (top - from) * ratio);
    if (before) {
      const height = Math.max(row.height, before.row.height);
      context.clearRect(0, -scale.rowGap / 2, width, height + scale.rowGap);
    }
    paintRow(context, row, scale, look, palette);
  }
}
