// Acceptance over several runs, in words.
import type { AcceptanceAnatomy, TokenExample } from "../protocol/generated";
import { percent, plural, whole } from "./format";

export type Aspect = AcceptanceAnatomy["groups"][number]["by"];
type Cell = AcceptanceAnatomy["groups"][number]["cells"][number];

export const ASPECTS: Readonly<Record<Aspect, { readonly title: string; readonly help: string }>> = {
  position: {
    title: "By position",
    help: "The position of the token in its draft, from 1. A position is tested only if all tokens before it on its path were accepted.",
  },
  entropy: {
    title: "By entropy of the target, in nats",
    help: "The entropy of the target's distribution at the token: how many tokens could follow. Tokens without a known entropy are left out.",
  },
  token_class: {
    title: "By token class",
    help: "The class of the token that the text has in this place, by its characters and the text before it.",
  },
  prompt: {
    title: "By prompt",
    help: "Runs of the same prompt together. The prompts with the most tested tokens have a row of their own.",
  },
};

/** What was counted: "1,204 tested tokens of 12 runs, 78 % accepted". */
export function countWords({ runs, left_out, tested, accepted }: AcceptanceAnatomy): string {
  if (tested === 0) return `No drafted token was tested in ${plural(runs, "run")}.`;
  const share = `${whole(tested)} tested tokens of ${plural(runs, "run")}, ${percent(accepted / tested)} accepted.`;
  return left_out === 0 ? share : `${share} ${plural(left_out, "more run")} not read: reading has a limit.`;
}

export const shareWords = ({ accepted, tested }: Cell): string => percent(accepted / tested);

/** "accepted 30 of 40; 95 % interval 60 % to 86 %" */
export const cellWords = ({ accepted, tested, low, high }: Cell): string =>
  `accepted ${whole(accepted)} of ${whole(tested)}; 95 % interval ${percent(low)} to ${percent(high)}`;

/** What became of the token. */
export const exampleWords = (
  { accepted, instead }: TokenExample,
  shown: (label: string) => string,
): string => (accepted ? "accepted" : `rejected; the text has ${shown(instead ?? "")}`);
