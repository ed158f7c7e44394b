// All outcomes of speculative decoding on a toy vocabulary, with their probabilities. Nothing is drawn.
import { acceptProb, type Distribution, type Rule, replacement } from "./rule";

/** Distributions of the next token: the first at the start of a text, the others after each token of the vocabulary. */
export type ToyModel = readonly Distribution[];

export interface Toy {
  /** The target. */
  readonly p: ToyModel;
  /** The draft model. */
  readonly q: ToyModel;
}

/** A vocabulary of three tokens, for which p and q differ in every context. */
export const EXAMPLE: Toy = {
  p: [
    [0.6, 0.3, 0.1],
    [0.2, 0.5, 0.3],
    [0.7, 0.1, 0.2],
    [0.25, 0.25, 0.5],
  ],
  q: [
    [0.3, 0.3, 0.4],
    [0.5, 0.3, 0.2],
    [0.4, 0.4, 0.2],
    [0.1, 0.6, 0.3],
  ],
};

/** A text as a number: its tokens are the digits, in the base of the vocabulary's size. */
export interface Outcomes {
  /** The probability of each text. */
  readonly output: readonly number[];
  /** How many ways lead to a text: a draft, a decision for each of its tokens, a replacement, and so on. */
  readonly paths: number;
}

const START = -1;
const rowOf = (model: ToyModel, last: number): Distribution => model[last + 1] ?? [];
export const sizeOf = ({ p }: Toy): number => p[0]?.length ?? 0;

/** The tokens of a text of `length` tokens. */
export function tokensOf(text: number, length: number, size: number): number[] {
  return Array.from({ length }, (_, at) => Math.floor(text / size ** (length - 1 - at)) % size);
}

/** The probability of each text if the target alone decodes: p(x₁) · p(x₂ | x₁) · … */
export function targetOf({ p }: Toy, length: number): number[] {
  const size = p[0]?.length ?? 0;
  return Array.from({ length: size ** length }, (_, text) => {
    let last = START;
    return tokensOf(text, length, size).reduce((product, token) => {
      const probability = rowOf(p, last)[token] ?? 0;
      last = token;
      return product * probability;
    }, 1);
  });
}

/** What a rule does after one token: the probability to accept each drafted token, and the replacement of a rejected one. */
interface Decision {
  readonly p: Distribution;
  readonly q: Distribution;
  readonly accept: readonly number[];
  readonly replace: Distribution;
}

const decisionsOf = (rule: Rule, { p, q }: Toy): Decision[] =>
  p.map((own, row) => {
    const draft = q[row] ?? [];
    const accept = own.map((_, token) => acceptProb(rule, own, draft, token));
    return { p: own, q: draft, accept, replace: replacement(rule, own, draft) };
  });

/** Adds up all ways to write a text, round after round. What a round writes beyond its length is cut off. */
class Enumeration {
  readonly output: number[];
  paths = 0;
  private readonly size: number;

  constructor(
    private readonly decisions: readonly Decision[],
    private readonly depth: number,
    private readonly length: number,
  ) {
    this.size = decisions[0]?.p.length ?? 0;
    this.output = Array.from({ length: this.size ** length }, () => 0);
  }

  private after(last: number): Decision {
    return this.decisions[last + 1] as Decision;
  }

  /** A round: every draft of `depth` tokens, drawn from q. `text` has `count` tokens and ends with `last`. */
  round(text: number, count: number, last: number, prob: number, draft: readonly number[] = []): void {
    if (prob === 0) return;
    if (count === this.length) {
      this.output[text] = (this.output[text] ?? 0) + prob;
      this.paths += 1;
      return;
    }
    if (draft.length === this.depth) {
      this.decide(draft, 0, text, count, last, prob);
      return;
    }
    const { q } = this.after(draft.at(-1) ?? last);
    for (const [token, share] of q.entries()) this.round(text, count, last, prob * share, [...draft, token]);
  }

  /** The decisions from the draft's token `at` on, and after a whole accepted draft one token of the target's own. */
  private decide(
    draft: readonly number[],
    at: number,
    text: number,
    count: number,
    last: number,
    prob: number,
  ) {
    if (prob === 0) return;
    const token = draft[at];
    const { p, accept, replace } = this.after(last);
    if (token === undefined) return this.emit(p, text, count, prob);
    if (count === this.length) return this.round(text, count, last, prob);
    const accepted = accept[token] ?? 0;
    this.decide(draft, at + 1, text * this.size + token, count + 1, token, prob * accepted);
    this.emit(replace, text, count, prob * (1 - accepted));
  }

  /** Every token of a distribution, and after each the next round. */
  private emit(distribution: Distribution, text: number, count: number, prob: number): void {
    if (count === this.length) {
      this.round(text, count, START, prob);
      return;
    }
    for (const [token, share] of distribution.entries())
      this.round(text * this.size + token, count + 1, token, prob * share);
  }
}

/** The distribution of the first `length` tokens under a rule, with drafts of `depth` tokens. */
export function outcomesOf(rule: Rule, toy: Toy, depth: number, length: number): Outcomes {
  const all = new Enumeration(decisionsOf(rule, toy), depth, length);
  all.round(0, 0, START, 1);
  return { output: all.output, paths: all.paths };
}

/** Mean tokens of the first round. */
export function tokensPerRound(rule: Rule, toy: Toy, depth: number): number {
  const decisions = decisionsOf(rule, toy);
  const from = (last: number, left: number): number => {
    const { q, accept } = decisions[last + 1] as Decision;
    if (left === 0) return 1;
    return q.reduce((sum, share, x) => sum + share * (accept[x] ?? 0) * from(x, left - 1), 1);
  };
  return from(START, depth);
}

export interface Difference {
  /** The text that differs most. */
  readonly text: number;
  readonly largest: number;
  /** Half the sum of all differences. */
  readonly totalVariation: number;
}

export function differenceOf(output: readonly number[], target: readonly number[]): Difference {
  const differences = output.map((value, text) => Math.abs(value - (target[text] ?? 0)));
  const largest = Math.max(...differences);
  return {
    text: differences.indexOf(largest),
    largest,
    totalVariation: differences.reduce((sum, value) => sum + value, 0) / 2,
  };
}
