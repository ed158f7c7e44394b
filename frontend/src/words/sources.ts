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
};

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
