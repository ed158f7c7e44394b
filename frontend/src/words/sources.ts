// The drafter of a token: each has a title, a colour, and a letter for readers who do not see the colour.

export interface DraftSource {
  readonly source: string;
  readonly letter: string;
  readonly title: string;
  /** A CSS colour. */
  readonly colour: string;
}

const KNOWN: Readonly<Record<string, readonly [letter: string, title: string]>> = {
  model: ["M", "draft model"],
  ngram: ["N", "prompt lookup"],
  suffix: ["S", "suffix automaton"],
  lookahead: ["L", "lookahead"],
  medusa: ["H", "Medusa heads"],
  eagle: ["E", "EAGLE head"],
  eagle3: ["3", "EAGLE-3 head"],
  "p-eagle": ["A", "P-EAGLE head"],
  dflash: ["D", "DFlash head"],
  mtp: ["P", "next-token layer"],
  selfspec: ["T", "self-speculation"],
  mixture: ["B", "mixture of drafters"],
  grammar: ["G", "forced by the grammar"],
  prediction: ["O", "predicted output"],
};

/** Sources that no drafter had to find. Their tokens are marked in every run, and in the text too. */
const GIVEN: Readonly<Record<string, string>> = {
  grammar:
    "The grammar allows no other text here, so no drafter proposed the token. The target still verifies it.",
  prediction: "Copied from the predicted output that came with the request, and verified by the target.",
};

export const isGiven = (source: string): boolean => source in GIVEN;

/** What a given source means; empty for a drafter. */
export const givenHelp = (source: string): string => GIVEN[source] ?? "";

/** Whether the tokens of a run are marked by their source: several of them, or one that is given. */
export const marksSources = (sources: readonly string[]): boolean =>
  sources.length > 1 || sources.some(isGiven);

/** Drafters that combine others. Tokens have the source of the others; these appear in comparisons only. */
const COMPOSED: Readonly<Record<string, readonly [letter: string, title: string]>> = {
  multi: ["&", "several branches"],
  hybrid: ["/", "prompt lookup, else model"],
};

/** `a+b` is a mixture: the token was drawn from the mixed distribution of a and b. */
export function sourceOf(source: string): DraftSource {
  const mixed = source.split("+");
  if (mixed.length > 1) {
    return { ...sourceOf("mixture"), source, title: mixed.map((one) => sourceOf(one).title).join(" and ") };
  }
  const known = KNOWN[source];
  if (known) return { source, letter: known[0], title: known[1], colour: `var(--source-${source})` };
  const [letter, title] = COMPOSED[source] ?? [source.charAt(0).toUpperCase() || "?", source];
  return { source, letter, title, colour: "var(--source-other)" };
}
