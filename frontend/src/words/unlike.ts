// In words: the passes of a run and those of its baseline took times that cannot be compared.
import type { UnlikePasses } from "../run/unlike";
import { milliseconds, plural, whole } from "./format";

const causeOf = ({ runMs, baselineMs, contextTokens }: UnlikePasses): string => {
  if (runMs < baselineMs) return "something else used the processor then";
  if (contextTokens === null) return "something else used the processor";
  return `something else used the processor, or the text, of ${whole(contextTokens)} tokens, is the cause`;
};

/** The two times and what follows from them, in one sentence. */
export const unlikeWords = (unlike: UnlikePasses): string =>
  `${timesOf(unlike)}: ${causeOf(unlike)}, so the two cannot be compared.`;

/** The same where the verdict stands. */
export function notedWords(noted: UnlikePasses): string {
  const than = noted.runMs > noted.baselineMs ? "higher" : "lower";
  return `${timesOf(noted)}. At equal times the speedup would be ${than}.`;
}

function timesOf({ rows, runMs, baselineMs }: UnlikePasses): string {
  const pass = rows === 1 ? "A pass of one token" : `A pass over ${plural(rows, "token")}`;
  const other =
    rows === 1
      ? `${milliseconds(baselineMs)} when the baseline was measured`
      : `${milliseconds(baselineMs)} at the speed of the baseline`;
  return `${pass} took ${milliseconds(runMs)} in this run and ${other}`;
}
