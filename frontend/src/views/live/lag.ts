// Figures that are rendered when there is time for it: on a busy machine there may be none for many rounds.
import type { Run } from "../../run/model";

const LONGEST_LAG_MS = 1000;

/** Whether the figures on the page are older than a reader should see, by the clock of the run. */
export function isLagging({ latest: shown }: Pick<Run, "latest">, { latest }: Pick<Run, "latest">): boolean {
  if (!latest) return false;
  return shown === null || shown.run !== latest.run || latest.t_ms - shown.t_ms > LONGEST_LAG_MS;
}
