// Predicates of one token.
import type { Token } from "./model";

/** Whether it was tested and not accepted: rejected, or under block verification the end of a prefix that was not accepted. */
export function failedTest({ status, verdict }: Token): boolean {
  if (status === "rejected") return true;
  const acceptance = verdict?.acceptance_prob ?? null;
  return status === "discarded" && acceptance !== null && acceptance < 1;
}
