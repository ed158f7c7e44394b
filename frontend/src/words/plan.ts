// Why the policy `auto` planned a round as it did. All figures of a plan are expected, none is measured.
import type { ChoiceInfo, Metrics, PlanInfo } from "../protocol/generated";
import { fixed, milliseconds, plural } from "./format";
import { sourceOf } from "./sources";

const EXPLORED = "Tried to keep the estimates up to date.";

const capital = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);

/** A time whose unit stays on the line of its number. */
const time = (ms: number): string => milliseconds(ms).replace(" ", "\u00a0");

const titleOf = ({ drafter }: ChoiceInfo): string => sourceOf(drafter).title;

/** The expected time in plain passes. */
const passes = ({ expected_ms }: ChoiceInfo, plainMs: number): string => fixed(expected_ms / plainMs, 1);

const tokens = ({ expected_tokens }: ChoiceInfo): string => fixed(expected_tokens, 1);

const rate = ({ expected_tokens, expected_ms }: ChoiceInfo): number => expected_tokens / expected_ms;

/** "3 tokens", "3 tokens and 2 siblings". */
const sizeOf = ({ depth, siblings }: ChoiceInfo): string =>
  siblings ? `${plural(depth, "token")} and ${plural(siblings, "sibling")}` : plural(depth, "token");

/** The draft that brings most tokens for its time; null if there is none. */
function bestDraft(choices: readonly ChoiceInfo[]): ChoiceInfo | null {
  const drafts = choices.filter(({ depth }) => depth > 0);
  return drafts.toSorted((a, b) => rate(b) - rate(a))[0] ?? null;
}

/** One or two sentences: what was planned, and why. */
export function planReason(plan: PlanInfo): string {
  if (plan.chosen.depth > 0)
    return `${draftWords(plan)} ${plan.explored ? EXPLORED : insteadWords(plan)}`.trim();
  return plan.explored ? `Plain decoding. ${EXPLORED}` : plainWords(plan);
}

function draftWords({ chosen, plain_ms }: PlanInfo): string {
  const draft = `${capital(titleOf(chosen))}, ${sizeOf(chosen)}`;
  return `${draft}: ${tokens(chosen)} tokens expected in ${passes(chosen, plain_ms)} plain passes of time.`;
}

/** What the round would have been without a draft. */
function insteadWords({ others, plain_ms }: PlanInfo): string {
  const plain = others.find(({ depth }) => depth === 0);
  return plain ? `Plain decoding would give ${tokens(plain)} in ${passes(plain, plain_ms)}.` : "";
}

function plainWords({ others, plain_ms }: PlanInfo): string {
  const best = bestDraft(others);
  if (!best) return "Plain decoding: no drafter has a draft here.";
  const draft = `${titleOf(best)} with ${sizeOf(best)}`;
  const figures = [tokens(best), passes(best, plain_ms)] as const;
  const words = `No draft pays here: the best, ${draft}, would bring ${figures[0]} tokens in ${figures[1]} plain passes of time`;
  // A draft can be better than a plain pass, and still worse than the rounds that its time delays.
  const delays = Number(figures[0]) > Number(figures[1]);
  return delays ? `${words}. In the last rounds, the additional time brought more.` : `${words}.`;
}

/** The unit of the plan's times. */
export const unitWords = ({ plain_ms }: PlanInfo): string => `One plain pass: ${time(plain_ms)} expected.`;

/** What the round was then: "4 tokens drafted, 3 emitted in 63 ms." A draft can end before its planned depth. */
export function measuredWords({ plan, round_drafted, round_emitted, round_ms }: Metrics): string {
  return `${draftedWords(round_drafted, plan?.chosen.depth ?? 0)}, ${round_emitted} emitted in ${time(round_ms)}.`;
}

function draftedWords(drafted: number, planned: number): string {
  if (drafted === 0) return planned === 0 ? "Nothing drafted" : "The draft ended before its first token";
  return drafted < planned
    ? `The draft ended after ${drafted} of ${planned} tokens`
    : `${plural(drafted, "token")} drafted`;
}
