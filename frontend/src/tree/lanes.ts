// Lanes below the spine: horizontal strips, one node high, in which branches are drawn.
import { EDGE_GAP } from "./branchSize";
import type { OpenRow } from "./geometry";
import type { Scale } from "./scale";

/**
 * Occupies [left, right] in the first lane below `above` where it is free, and returns that lane. The lanes between get
 * an interval for the edge that passes through them at `left`.
 */
export function takeLane({ occupied }: OpenRow, left: number, right: number, above: number): number {
  let lane = above + 1;
  while ((occupied[lane - 1] ?? []).some(([a, b]) => a < right && left < b)) lane += 1;
  while (occupied.length < lane) occupied.push([]);
  for (let passed = above; passed < lane - 1; passed += 1)
    occupied[passed]?.push([left - EDGE_GAP, left + EDGE_GAP]);
  occupied[lane - 1]?.push([left, right]);
  return lane;
}

/** Centre of a lane below the spine, relative to the top of its row. */
export const laneY = (lane: number, scale: Scale): number =>
  scale.spineY + scale.spineBelow + (lane - 0.5) * scale.laneHeight;
