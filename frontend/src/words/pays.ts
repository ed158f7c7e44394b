// Whether speculation pays, in words.
import type { Lever, Verdict } from "../run/verdict";
import { fixed, plural } from "./format";

/** Within this factor of plain decoding a run is as fast. */
const EVEN = 0.02;

/** Whether the words about a lever are about another depth, so that they are computed and not measured. */
export const isComputed = (words: string): boolean => words.includes(" K ");

/** That other runs used the models in some of the judged rounds; empty if none did. */
export function sharedWords(shared: number, rounds: number): string {
  if (shared === 0) return "";
  const which = shared === rounds ? "all" : `${shared}`;
  return `Other runs used the models in ${which} of ${plural(rounds, "round")}: this is not the speed of a run alone.`;
}

export type Pays = "faster" | "slower" | "no gain";

export function paysOf(speedup: number): Pays {
  if (speedup > 1 + EVEN) return "faster";
  return speedup < 1 - EVEN ? "slower" : "no gain";
}

/** "2.72 tokens a round ÷ 4.20 plain passes of time" */
export const arithmetic = ({ tokens, passes }: Verdict): string =>
  `${fixed(tokens)} tokens a round ÷ ${fixed(passes)} plain passes of time`;

/** What would change the verdict: a smaller depth, which is computed, or the tokens that a round of this cost must emit. */
export function leverWords(verdict: Verdict, lever: Lever | null): string {
  if (lever && lever.speedup > verdict.speedup * (1 + EVEN)) {
    const still = lever.speedup < 1 - EVEN ? ", still slower" : "";
    return `At K ${lever.k} it would be ${fixed(lever.speedup)}×${still}.`;
  }
  const slower = verdict.speedup < 1 - EVEN;
  if (slower) return `To break even, a round of this cost must emit ${fixed(verdict.passes)} tokens.`;
  return lever ? "No smaller K would be faster." : "";
}
