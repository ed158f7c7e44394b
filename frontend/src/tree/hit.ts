// What is at a place of the tree: for a canvas, whose drawing has no elements.
import { barKey } from "./bars";
import { firstWith } from "./find";
import type { Layout, LayoutNode, LayoutSegment, Row } from "./geometry";
import type { Scale } from "./scale";

/** A box around a token, with its label: [left, top, right, bottom], in pixels of its row. */
export function hitBox(node: LayoutNode, scale: Scale): readonly [number, number, number, number] {
  const below = scale.detail === "full" ? scale.labelDrop + 4 : node.r + 3;
  const half = scale.laneHeight / 2;
  const [above, under] = node.lane === 0 ? [scale.radiusMax, below] : [half, half];
  return [node.left, node.y - above, node.right, node.y + under];
}

interface Place {
  readonly row: Row;
  /** In pixels of the row. */
  readonly x: number;
  readonly y: number;
}

function placeAt({ rows, tops }: Layout, x: number, y: number): Place | null {
  const at = firstWith(tops, (top) => top > y) - 1;
  const row = rows[at];
  return row ? { row, x, y: y - (tops[at] ?? 0) } : null;
}

/** The key of the token at a place, in pixels of the layout; null if there is none. */
export function keyAt(layout: Layout, x: number, y: number): string | null {
  const place = placeAt(layout, x, y);
  if (!place) return null;
  const { row, x: left, y: top } = place;
  const node = row.nodes.findLast((one) => {
    const [from, above, to, below] = hitBox(one, layout.scale);
    return left >= from && left <= to && top >= above && top <= below;
  });
  if (node) return node.token.key;
  const bar = row.bars.find(
    (one) =>
      left >= one.x - 2 && left <= one.x + one.width + 2 && top >= one.y - 2 && top <= one.y + one.height + 2,
  );
  return (bar && barKey(bar)) ?? null;
}

/** The header of a round at a place; null if there is none. */
export function headerAt(layout: Layout, x: number, y: number): LayoutSegment | null {
  const place = placeAt(layout, x, y);
  if (!place || place.y > layout.scale.barY + layout.scale.barHeight) return null;
  return place.row.segments.find((one) => place.x >= one.x && place.x <= one.x + one.width) ?? null;
}
