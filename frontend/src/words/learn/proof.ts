// The words of the scene "All outcomes".
import { type Difference, tokensOf } from "../../theory/outcomes";
import { fixed, percent, variation, whole } from "../format";

export const LEAD =
  "Random draws can miss a small error. With three tokens no draw is needed: the page goes through all drafts, all decisions and all replacements, and adds up their probabilities. If the rule is exact, every text comes out as often as from the target alone.";

export const TOKENS = ["a", "b", "c"] as const;
/** A difference below this is rounding. */
export const LIMIT = 1e-12;

export const CONTEXTS = [
  { value: "0", name: "at the start", help: "The distributions of the first token" },
  { value: "1", name: "after a", help: "The distributions of a token that follows a" },
  { value: "2", name: "after b", help: "The distributions of a token that follows b" },
  { value: "3", name: "after c", help: "The distributions of a token that follows c" },
] as const;
export type ContextName = (typeof CONTEXTS)[number]["value"];

export const EXACT_NOTE =
  "Change p and q as you like: every text keeps the probability that the target gives it. Only the number of tokens of a round changes.";

/** "aab" */
export const textName = (text: number, length: number): string =>
  tokensOf(text, length, TOKENS.length)
    .map((token) => TOKENS[token])
    .join("");

/** Whether the rule is exact, with the figure that shows it. */
export function proofWords(
  { text, largest, totalVariation }: Difference,
  output: readonly number[],
  target: readonly number[],
  length: number,
): string {
  if (largest < LIMIT) {
    return `Exact: no text differs from the target by more than ${largest.toExponential(1)}, which is rounding. The limit is 1e-12.`;
  }
  const [found, wanted] = [percent(output[text] ?? 0), percent(target[text] ?? 0)];
  return `Not exact: “${textName(text, length)}” comes out with ${found} instead of ${wanted}. The total variation from the target is ${variation(totalVariation)}.`;
}

export const countWords = (paths: number, depth: number, tokens: number): string =>
  `${whole(paths)} ways were added up. A round drafts ${depth} tokens and writes ${fixed(tokens)} on average: q decides how many, never which.`;

export const brokenCountWords = (paths: number): string => `${whole(paths)} ways were added up.`;
