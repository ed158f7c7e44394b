// Prompt lookup (Saxena 2023; Yang et al. 2023): the tokens that followed the same words before are the draft.

/** Lengths of a match, in tokens, as the drafter `ngram` has them. */
export const SHORTEST = 2;
export const LONGEST = 4;

export interface Lookup {
  /** The drafted tokens: those after the earlier occurrence. */
  readonly tokens: readonly number[];
  /** The length of the match; 0 without one. */
  readonly matched: number;
  /** Where the earlier occurrence begins. */
  readonly from: number;
}

const NOTHING: Lookup = { tokens: [], matched: 0, from: 0 };

/** The draft of at most `k` tokens after `tokens[0 … at − 1]`, from the longest and then the latest match. */
export function lookUp(tokens: readonly number[], at: number, k: number): Lookup {
  for (let length = Math.min(LONGEST, at - 1); length >= SHORTEST; length -= 1) {
    for (let from = at - length - 1; from >= 0; from -= 1) {
      const same = () =>
        tokens.slice(from, from + length).every((token, index) => token === tokens[at - length + index]);
      if (same())
        return {
          tokens: tokens.slice(from + length, Math.min(at, from + length + k)),
          matched: length,
          from,
        };
    }
  }
  return NOTHING;
}

/** How many tokens of a draft, from its first on, are those of the text. */
export function agreeing(tokens: readonly number[], at: number, draft: readonly number[]): number {
  const first = draft.findIndex((token, index) => token !== tokens[at + index]);
  return first < 0 ? draft.length : first;
}

export interface Replay {
  readonly rounds: number;
  readonly tokens: number;
  readonly drafted: number;
}

/** The rounds that lookup would have needed for a text, if a drafted token is kept where it equals the text's. */
export function replay(tokens: readonly number[], k: number): Replay {
  let rounds = 0;
  let drafted = 0;
  for (let at = 0; at < tokens.length; ) {
    const draft = lookUp(tokens, at, k).tokens;
    drafted += draft.length;
    at += agreeing(tokens, at, draft) + 1;
    rounds += 1;
  }
  return { rounds, tokens: tokens.length, drafted };
}
