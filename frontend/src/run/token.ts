// Questions about one token.
import type { Token } from "./model";

/** Whether it was tested and not accepted: rejected, or under block verification the end of a prefix that was not accepted. */
export function failedTest({ status, verdict }: Token): boolean {
  if (status === "rejected") return true;
  const chance = verdict?.acceptance_prob ?? null;
  return status === "discarded" && chance !== null && chance < 1;
}
