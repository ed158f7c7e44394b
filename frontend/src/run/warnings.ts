// What went wrong in a run that goes on: each message once, from the round that it first came in.
import type { RunWarning } from "../protocol/generated";

export type Warnings = readonly RunWarning[];

/** The warnings with one more; the same array if one with this message and hint is there. */
export function withWarning(warnings: Warnings, event: RunWarning): Warnings {
  const known = warnings.some(({ message, hint }) => message === event.message && hint === event.hint);
  return known ? warnings : [...warnings, event];
}

/** Those that were not dismissed. */
export const remaining = (warnings: Warnings, dismissed: Warnings): Warnings =>
  warnings.filter((warning) => !dismissed.includes(warning));
