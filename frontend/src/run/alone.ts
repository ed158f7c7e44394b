// The road not taken: where a rejected token stands in its run, and what the target wrote there.
import type { AloneRequest } from "../protocol/generated";
import { sameText } from "./again";
import type { Run, Token } from "./model";
import { roundAt } from "./selectors";
import { failedTest } from "./token";

/** The drafters that have a model of their own, which reads any text. */
const WRITERS: ReadonlySet<string> = new Set(["model", "selfspec"]);

/** The drafted tokens of a run that failed their test, in the order of the tests. */
export const rejectedTokens = (run: Run): Token[] =>
  run.rounds.flatMap(({ drafted }) => drafted.filter(failedTest));

const emittedBefore = (run: Run, round: number): Token[] =>
  run.rounds.filter(({ index }) => index < round).flatMap(({ emitted }) => emitted);

/** The drafted tokens between the committed text and a drafted token, from the text on. */
function ancestors(run: Run, { round, parent }: Token): Token[] {
  const drafted = roundAt(run, round)?.drafted ?? [];
  const path: Token[] = [];
  for (let node = parent; node !== null; ) {
    const token = drafted.find((other) => other.node === node);
    if (!token) return [];
    path.unshift(token);
    node = token.parent;
  }
  return path;
}

export interface Fork {
  /** The output before the token, as ids. */
  readonly ids: readonly number[];
  /** The visible text before the token. */
  readonly before: string;
  /** What the target wrote from there on. */
  readonly taken: readonly Token[];
}

/** Where a drafted token parts from the output. */
export function forkAt(run: Run, token: Token): Fork {
  const path = ancestors(run, token);
  const earlier = emittedBefore(run, token.round);
  const own = roundAt(run, token.round)?.emitted ?? [];
  const later = run.rounds.filter(({ index }) => index > token.round).flatMap(({ emitted }) => emitted);
  const accepted = own.slice(0, path.length);
  return {
    ids: [...earlier, ...path].map(({ tokenId }) => tokenId),
    before: [...earlier, ...accepted].map(({ text }) => text).join(""),
    taken: [...own.slice(path.length), ...later],
  };
}

/** The request for what the drafter writes alone after a token; null for a run whose prompt the server cannot check. */
export function aloneRequest(run: Run, token: Token, seed: number | null, most: number): AloneRequest | null {
  const { started } = run;
  if (started?.prompt_digest == null) return null;
  const changed = run.updates.findLast(({ round }) => round <= token.round);
  const source = token.draft?.source ?? "";
  return {
    run: {
      ...sameText({ ...started, sampling: changed?.sampling ?? started.sampling }),
      seed,
      drafter: WRITERS.has(source) ? source : "model",
    },
    prompt_digest: started.prompt_digest,
    output_ids: [...forkAt(run, token).ids, token.tokenId],
    most,
  };
}
