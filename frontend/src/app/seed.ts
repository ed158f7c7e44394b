// Seeds can be any integer; JavaScript reads them exactly up to 2^53 − 1.
import type { SettingsInfo } from "../protocol/generated";

export const LARGEST_SEED = Number.MAX_SAFE_INTEGER;

/** The seed as it was sent; null if it was rounded when it was read. */
export const exactSeed = (seed: number): number | null => (Number.isSafeInteger(seed) ? seed : null);

export const clampSeed = (seed: number): number => Math.round(Math.min(LARGEST_SEED, Math.max(0, seed)));

/** The seed to send: the user's, else the server's if the field can hold it; null leaves the seed to the server. */
export function seedOf(settings: SettingsInfo | null, chosen: number | null): number | null {
  if (chosen !== null) return clampSeed(chosen);
  const standard = settings?.defaults.seed;
  return typeof standard === "number" && standard >= 0 ? exactSeed(standard) : null;
}
