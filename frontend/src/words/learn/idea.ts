// The words of the scene "The idea".
import type { Run } from "../../run/model";
import { arrivalsOf } from "../../run/race";
import { emittedCount } from "../../run/selectors";
import { fixed, plural, seconds } from "../format";

export const LEAD =
  "A large language model writes well, but slowly. A small one is fast, and often writes the same next word. So let the small model write ahead, and let the large one check several words at once. That is speculative decoding.";

export const PROMISE =
  "The text does not get worse: what the large model would not write, it replaces. Only the time changes.";

export const WHY_FASTER =
  "Checking is cheap for a reason: for one word the large model must read all of its weights from memory, and in the same reading it can check several.";

/** The terms that every scene uses. */
export const TERMS: readonly (readonly [term: string, meaning: string])[] = [
  ["Token", "the unit that a model writes: a word, or a part of one."],
  ["Target", "the large model. The text is its text."],
  ["Drafter", "what proposes tokens: usually a small model, the draft model."],
  ["Pass", "one computation of a model. It reads all of the weights, and gives the next token."],
  ["Row", "one token that a pass reads. A pass can read several at once."],
  ["Round", "a draft, one pass of the target that checks it, and the tokens that stay."],
  ["p and q", "the probabilities that the target (p) and the drafter (q) give to the next token."],
];

/** The recorded run on a clock, and the target alone at its measured speed. Null for a run without a baseline. */
export interface Contest {
  readonly plainTps: number;
  /** After each round: the time, and the number of tokens. */
  readonly arrivals: ReturnType<typeof arrivalsOf>;
  readonly tokens: number;
  readonly draftedMs: number;
  readonly plainMs: number;
}

export function contestOf(run: Run): Contest | null {
  const plainTps = run.started?.baseline?.tps ?? null;
  const arrivals = arrivalsOf(run);
  const draftedMs = arrivals.at(-1)?.ms ?? 0;
  const tokens = emittedCount(run);
  if (plainTps === null || draftedMs <= 0) return null;
  return { plainTps, arrivals, tokens, draftedMs, plainMs: (1000 * tokens) / plainTps };
}

/** The number of tokens that the target alone has written by then. */
export const plainBy = ({ plainTps, tokens }: Contest, ms: number): number =>
  Math.min(tokens, Math.floor((ms * plainTps) / 1000 + 1e-9));

export function contestWords(contest: Contest, ms: number, drafted: number): string {
  const { tokens, plainMs, draftedMs } = contest;
  if (ms <= 0) return "Press Play: the same answer, written twice, in real time.";
  const plain = plainBy(contest, ms);
  if (plain < tokens || drafted < tokens)
    return `After ${seconds(ms)}: ${plural(plain, "token")} alone, ${plural(drafted, "token")} with drafts.`;
  const ratio = plainMs / draftedMs;
  const result = ratio >= 1 ? `${fixed(ratio)}× as fast` : `slower: ${fixed(ratio)}× the speed`;
  return `${plural(tokens, "token")}: ${seconds(plainMs)} alone, ${seconds(draftedMs)} with drafts. That is ${result}.`;
}

export const plainNote = ({ plainTps }: Contest): string =>
  `computed from its measured ${fixed(plainTps, 1)} tokens a second`;
