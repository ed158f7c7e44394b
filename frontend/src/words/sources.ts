// Who drafted a token: a letter and a colour for each source. The letter says it without the colour.

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
  selfspec: ["T", "the target itself"],
  mixture: ["B", "blend of drafters"],
};

/** Drafters that let others draft: no token is from them, but they are compared. */
const COMPOSED: Readonly<Record<string, readonly [letter: string, title: string]>> = {
  multi: ["&", "several branches"],
  hybrid: ["/", "match, else model"],
};

/** Sources joined by + blended their distributions into one, from which the token was drawn. */
export function sourceOf(source: string): DraftSource {
  const blended = source.split("+");
  if (blended.length > 1) {
    return { ...sourceOf("mixture"), source, title: blended.map((one) => sourceOf(one).title).join(" and ") };
  }
  const known = KNOWN[source];
  if (known) return { source, letter: known[0], title: known[1], colour: `var(--source-${source})` };
  const [letter, title] = COMPOSED[source] ?? [source.charAt(0).toUpperCase() || "?", source];
  return { source, letter, title, colour: "var(--source-other)" };
}
