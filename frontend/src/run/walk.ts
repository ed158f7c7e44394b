// One round as the steps of a tour: the tokens are drafted, read in one pass, tested in turn, and kept.
import type { Round, Run, Status, Token } from "./model";

export type Step =
  | { readonly kind: "start" | "pass" | "keep" }
  /** draft: the token is proposed. test: it is accepted or rejected. extra: the token after the accepted ones. */
  | { readonly kind: "draft" | "test" | "extra"; readonly token: Token };

const isTested = ({ status }: Token): boolean => status === "accepted" || status === "rejected";

export function walkOf(round: Round): Step[] {
  const extra = round.emitted.filter(({ node }) => node === null);
  return [
    { kind: "start" },
    ...round.drafted.map((token): Step => ({ kind: "draft", token })),
    { kind: "pass" },
    ...round.drafted.filter(isTested).map((token): Step => ({ kind: "test", token })),
    ...extra.map((token): Step => ({ kind: "extra", token })),
    { kind: "keep" },
  ];
}

/** The status of a token of the round after step `at`; null before it exists. */
export function statusAfter(token: Token, steps: readonly Step[], at: number): Status | null {
  const done = steps.slice(0, at + 1);
  const hasToken = (kind: Step["kind"]) =>
    done.some((step) => step.kind === kind && "token" in step && step.token.key === token.key);
  if (token.node === null) return hasToken("extra") ? token.status : null;
  if (hasToken("test")) return token.status;
  const stopped = done.some((step) => step.kind === "test" && step.token.status === "rejected");
  if (stopped && token.status === "discarded") return "discarded";
  return hasToken("draft") ? "pending" : null;
}

/** The first round that shows everything: drafts that are accepted, then one that is rejected. */
export function typicalRound(run: Run): Round | null {
  const drafting = run.rounds.filter(({ drafted, metrics }) => drafted.length > 0 && metrics !== null);
  const count = ({ drafted }: Round, status: Status) =>
    drafted.filter((token) => token.status === status).length;
  const shows = (round: Round) => count(round, "accepted") > 1 && count(round, "rejected") > 0;
  return drafting.find(shows) ?? drafting[0] ?? null;
}

/** The last `most` characters of the text before a round. */
export function textBefore(run: Run, round: Round, most: number): string {
  const before = run.rounds.filter(({ index }) => index < round.index);
  const text = before.flatMap(({ emitted }) => emitted.map((token) => token.text)).join("");
  return text.length > most ? `…${text.slice(-most)}` : text;
}
