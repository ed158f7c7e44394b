// The words of the scene "Kinds of drafters".
import type { Lookup, Replay } from "../../theory/lookup";
import { fixed } from "../format";

export const LEAD =
  "Anything can draft: the rule keeps the text exact. Drafters differ in what they know, what a draft costs, and how often it is accepted.";

export interface Flavour {
  /** The name of the drafter, as `--drafter` takes it. */
  readonly source: string;
  readonly from: string;
  readonly cost: string;
}

/** Where each drafter takes its tokens from, and what that costs. */
export const FLAVOURS: readonly Flavour[] = [
  { source: "model", from: "A smaller model of the same family.", cost: "A pass of it for each token." },
  { source: "ngram", from: "The text: what followed the last tokens before.", cost: "No pass at all." },
  {
    source: "suffix",
    from: "The text and earlier answers: how often each continuation followed the longest match.",
    cost: "No pass at all.",
  },
  {
    source: "medusa",
    from: "Small heads on the target’s last state, one for each of the next places.",
    cost: "One small matrix product each; must be trained.",
  },
  {
    source: "eagle",
    from: "One layer that continues the target’s own states, token by token. EAGLE-3 reads inner layers too, and P-EAGLE drafts all tokens in one pass.",
    cost: "A small pass for each token, or one for all; must be trained.",
  },
  {
    source: "dflash",
    from: "A few layers on the target’s inner layers, which fill in a whole block of places.",
    cost: "One pass for all tokens; must be trained.",
  },
  {
    source: "mtp",
    from: "A layer for the token after next that some models have.",
    cost: "A small pass for each token.",
  },
  {
    source: "lookahead",
    from: "The target itself: guesses that ride along in each pass.",
    cost: "More rows, which are tokens to compute, in every pass.",
  },
  {
    source: "selfspec",
    from: "The target with fewer bits or fewer layers.",
    cost: "A large part of a pass for each token.",
  },
  {
    source: "mixture",
    from: "The distributions of two drafters, added with weights.",
    cost: "That of both.",
  },
  { source: "multi", from: "A branch of a tree from each drafter.", cost: "That of all, and more rows." },
  {
    source: "hybrid",
    from: "A match in the text if there is one, else the model.",
    cost: "That of the one that drafts.",
  },
];

export const lookupWords = ({ matched, tokens }: Lookup): string => {
  if (matched === 0) return "The last two tokens do not occur earlier in the answer, so nothing is drafted.";
  const drafted =
    tokens.length === 1 ? "The token after them is" : `The ${tokens.length} tokens after them are`;
  return `The last ${matched} tokens occur earlier in the answer. ${drafted} the draft.`;
};

export const replayWords = ({ tokens, rounds }: Replay, modelTokens: number): string =>
  `Over the whole answer the draft model gave ${fixed(modelTokens)} tokens a round, measured. Prompt lookup would give ` +
  `${fixed(tokens / rounds)}, computed on the same text, but its drafts cost no pass.`;
