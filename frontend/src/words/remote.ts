// A target elsewhere, in words: where it is, how it verifies, what it took, and how far off it can be.
import type { ModelInfo, RemoteInfo, UsageInfo } from "../protocol/generated";
import type { Fact } from "./facts";
import { fixed, kibibytes, milliseconds, percent, variation, whole } from "./format";

interface Mode {
  readonly name: string;
  readonly words: string;
}

const SCORES = "scores";
const THINNING: Mode = {
  name: "thinning",
  words: "its score of every drafted token decides; where one falls, its own draws are thinned",
};

const MODES: Readonly<Record<string, Mode>> = {
  verifier: { name: "verifier", words: "judged by our verifier, one round trip a round" },
  scores: { name: SCORES, words: "it scores every drafted token, and the decision is made here" },
  greedy: { name: SCORES, words: "it tells its most probable token at every place of the draft" },
  rows: { name: SCORES, words: "it tells all tokens that the sampling keeps, at every place of the draft" },
  thinning: THINNING,
  thinned: THINNING,
  match: {
    name: "sample-and-match",
    words: "it draws a token behind every prefix of the draft, which stands while it equals those draws",
  },
  bounded: {
    name: "bounded",
    words: "it tells only its most probable tokens; what the others could change is bounded",
  },
  generate: { name: "watched only", words: "it generates by itself, and verifies nothing of the draft" },
};

/** A mode that this page does not know yet has its own name and no words. */
export const modeOf = (remote: RemoteInfo): Mode => MODES[remote.mode] ?? { name: remote.mode, words: "" };

/** Host and port, where the address has them; never a name or password in front of them. */
export function hostOf(url: string): string {
  try {
    return new URL(url).host || url;
  } catch {
    return url;
  }
}

/** The whole address, without a name or password. */
export const addressOf = (remote: RemoteInfo): string => remote.url.replace(/\/\/[^/@]*@/, "//");

/** "at verify.example.org, 42 ms away" */
export function remoteLocation(remote: RemoteInfo): string {
  const place = `at ${hostOf(remote.url)}`;
  return remote.rtt_ms === null ? place : `${place}, ${milliseconds(remote.rtt_ms)} away`;
}

const ELSEWHERE = /, remote$/;

/** What computes it, without saying where. */
export const runtimeOf = (model: ModelInfo): string => model.runtime.replace(ELSEWHERE, "");
export const isElsewhere = (model: ModelInfo): boolean => ELSEWHERE.test(model.runtime);

const calls = (value: number): string => (Number.isInteger(value) ? `${value}` : fixed(value, 1));

/** What is known of the way to it; what is not known is left out. */
export function remoteFacts(remote: RemoteInfo): Fact[] {
  const facts: Fact[] = [
    { term: "Address", value: addressOf(remote), help: "Where the target is; the drafts are made here." },
  ];
  if (remote.rtt_ms !== null) {
    facts.push({
      term: "Round trip",
      value: `${milliseconds(remote.rtt_ms)}, measured`,
      help: "There and back without any work in between.",
    });
  }
  if (remote.calls_per_round !== null) {
    facts.push({
      term: "Calls a round",
      value: calls(remote.calls_per_round),
      help: "Requests that a usual round takes.",
    });
  }
  if (remote.rate_limit !== null) {
    facts.push({ term: "Headroom", value: remote.rate_limit, help: "The limits the endpoint declares." });
  }
  return facts;
}

/** How far from the target's the output can be by now. */
export function boundWords(bound: number): string {
  if (bound >= 1)
    return "The bound has reached 1, the largest total variation there is: it excludes nothing.";
  return `Up to here the total variation from the target’s distribution, added up over the rounds, is at most ${variation(bound, "up")}: no event has a probability that differs from the target’s by more.`;
}

const share = (part: number, all: number | null): string =>
  all === null || all === 0 ? "" : ` (${percent(part / all)} of the prompt)`;

/** What verification took so far; only what is known. `rounds`: how many it was for. */
export function usageFacts(usage: UsageInfo, rounds: number, remote: RemoteInfo | null): Fact[] {
  const { prompt_tokens, completion_tokens, cached_tokens, sent_bytes, received_bytes } = usage;
  const perRound = rounds > 0 ? `, ${calls(usage.calls / rounds)} a round` : "";
  const facts: Fact[] = [
    {
      term: "Calls",
      value: `${whole(usage.calls)}${perRound}`,
      help: "Requests to the target for all rounds so far, baselines not included.",
    },
  ];
  const add = (term: string, value: string, help: string) => facts.push({ term, value, help });
  if (prompt_tokens !== null) {
    add("Prompt tokens", `${whole(prompt_tokens)} billed`, "Tokens read, as the endpoint counts them.");
  }
  if (cached_tokens !== null) {
    add(
      "Cached",
      `${whole(cached_tokens)}${share(cached_tokens, prompt_tokens)}`,
      "Prompt tokens that the endpoint had computed before; many bill them at less.",
    );
  }
  if (completion_tokens !== null) {
    add(
      "Completion tokens",
      `${whole(completion_tokens)} billed`,
      "Tokens written, as the endpoint counts them.",
    );
  }
  const way = [
    sent_bytes !== null && `${kibibytes(sent_bytes / Math.max(1, rounds))} up`,
    received_bytes !== null && `${kibibytes(received_bytes / Math.max(1, rounds))} down`,
  ].filter((words) => words !== false);
  if (way.length > 0) {
    add("A round’s data", way.join(", "), "What goes over the wire for one round, on average.");
  }
  if (remote?.rate_limit != null) {
    add("Headroom", remote.rate_limit, "The limits the endpoint declared when the run began.");
  }
  return facts;
}
