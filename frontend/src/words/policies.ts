// The policies that plan a run's rounds, in words.
import type { PolicyName } from "../run/model";

export interface PolicyWords {
  readonly name: PolicyName;
  /** One sentence: what it decides, and from what. */
  readonly help: string;
}

export const POLICIES: readonly PolicyWords[] = [
  {
    name: "auto",
    help: "Chooses the drafter and the depth of every round, or no draft, by measured times and recent acceptance.",
  },
  {
    name: "adaptive",
    help: "Drafts two tokens more after a draft that was accepted whole, and one less after any other.",
  },
  { name: "fixed", help: "Drafts with the same drafter and to the same depth in every round." },
];

export const policyHelp = (policy: PolicyName): string =>
  POLICIES.find(({ name }) => name === policy)?.help ?? "";

/** "K 4" under `fixed`, "auto, at most 12" under a policy that chooses the depth, "plain" without a draft. */
export function depthWords(policy: string, k: number): string {
  if (k === 0) return "plain";
  return policy === "auto" || policy === "adaptive" ? `${policy}, at most ${k}` : `K ${k}`;
}
