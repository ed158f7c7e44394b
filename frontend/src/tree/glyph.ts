// The shape of a status, which repeats its colour: circle, cross, diamond, star, square, dot.
import {
  type SymbolType,
  symbol,
  symbolCircle,
  symbolDiamond2,
  symbolSquare2,
  symbolStar,
  symbolTimes,
} from "d3-shape";
import type { Status } from "../run/model";

/** Symbols, with the area at which they look as large as a circle of radius 1. */
const SHAPES: Record<Status, readonly [SymbolType, number]> = {
  accepted: [symbolCircle, Math.PI],
  pending: [symbolCircle, Math.PI],
  discarded: [symbolCircle, Math.PI * 0.5],
  rejected: [symbolTimes, 2.6],
  resampled: [symbolDiamond2, 3.2],
  bonus: [symbolStar, 1.9],
  plain: [symbolSquare2, 3.4],
  received: [symbolSquare2, 3.4],
};

/** The symbol of a status, with its area in square pixels. */
export function symbolOf(status: Status, radius: number): readonly [SymbolType, number] {
  const [type, area] = SHAPES[status];
  return [type, area * radius * radius];
}

/** The symbol as an SVG path. */
export function glyph(status: Status, radius: number): string {
  return symbol(...symbolOf(status, radius))() ?? "";
}

/** The opacity of a node's fill. It grows with the acceptance probability; without one it depends on the status. */
export function fillOpacity(status: Status, acceptanceProbability: number | null): number {
  if (acceptanceProbability !== null) return 0.08 + 0.72 * acceptanceProbability;
  return status === "pending" ? 0.12 : status === "discarded" ? 0.25 : 0.8;
}
