// The largest zoom at which the whole run fits into the panel.
import type { Round } from "../run/model";
import { fitsIn } from "./layout";
import { scaleAt, ZOOM_MIN } from "./scale";

const LARGEST_FIT = 1.25;
const HALVINGS = 8;

export function fitZoom(rounds: readonly Round[], size: { width: number; height: number }): number {
  const fits = (zoom: number) => fitsIn(rounds, size.width, size.height, scaleAt(zoom));
  if (fits(LARGEST_FIT)) return LARGEST_FIT;
  let low = ZOOM_MIN;
  let high = LARGEST_FIT;
  for (let i = 0; i < HALVINGS; i += 1) {
    const middle = (low + high) / 2;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
