// A remote target in words: its address, how it verifies, its usage, and the bound of its output.
import type { MetricValues, ModelInfo, RemoteInfo, UsageInfo } from "../protocol/generated";
import type { Fact } from "./facts";
import { fixed, kibibytes, milliseconds, percent, variation, whole } from "./format";

interface VerificationMode {
  readonly name: string;
  readonly words: string;
}

const SCORES = "scores";
const THINNING: VerificationMode = {
  name: "thinning",
  words: "it scores every drafted token; the replacement of a rejected token comes from its draws, thinned",
};

const MODES: Readonly<Record<string, VerificationMode>> = {
  verifier: { name: "verifier", words: "our verifier applies the rule, one round trip per round" },
  scores: { name: SCORES, words: "it scores every drafted token, and the rule is applied here" },
  greedy: { name: SCORES, words: "it returns its most probable token at every position of the draft" },
  rows: {
    name: SCORES,
    words: "it returns every token that passes the sampling filters, at every position of the draft",
  },
  thinning: THINNING,
  thinned: THINNING,
  match: {
    name: "sample-and-match",
    words: "it draws a token after every prefix of the draft, which is accepted while it equals those draws",
  },
  bounded: {
    name: "bounded",
    words: "it returns only its most probable tokens; the effect of the others is bounded",
  },
  generate: { name: "unverified", words: "it generates the tokens and verifies no draft" },
};

/** A mode that this page does not know keeps its name and has no words. */
export const modeOf = (remote: RemoteInfo): VerificationMode =>
  MODES[remote.mode] ?? { name: remote.mode, words: "" };

/** Host and port of an address, without a user name and password; the address itself if it has no host. */
export function hostOf(url: string): string {
  try {
    return new URL(url).host || url;
  } catch {
    return url;
  }
}

/** The whole address, without a user name and password. */
export const addressOf = (remote: RemoteInfo): string => remote.url.replace(/\/\/[^/@]*@/, "//");

/** "at verify.example.org, round trip 42 ms" */
export function remoteLocation(remote: RemoteInfo): string {
  const host = `at ${hostOf(remote.url)}`;
  return remote.rtt_ms === null ? host : `${host}, round trip ${milliseconds(remote.rtt_ms)}`;
}

const REMOTE = /, remote$/;

/** The runtime of a model, without its location. */
export const runtimeOf = (model: ModelInfo): string => model.runtime.replace(REMOTE, "");
export const isRemote = (model: ModelInfo): boolean => REMOTE.test(model.runtime);

const calls = (value: number): string => (Number.isInteger(value) ? `${value}` : fixed(value, 1));

/** What is known of the connection to it. */
export function remoteFacts(remote: RemoteInfo): Fact[] {
  const facts: Fact[] = [
    {
      term: "Address",
      value: addressOf(remote),
      help: "The address of the target. Drafts are made by this server.",
    },
  ];
  if (remote.rtt_ms !== null) {
    facts.push({
      term: "Round trip",
      value: `${milliseconds(remote.rtt_ms)}, measured`,
      help: "The time of a request and its answer without any computation.",
    });
  }
  if (remote.calls_per_round !== null) {
    facts.push({
      term: "Calls per round",
      value: calls(remote.calls_per_round),
      help: "Requests that one round normally needs.",
    });
  }
  if (remote.rate_limit !== null) {
    facts.push({
      term: "Rate limit",
      value: remote.rate_limit,
      help: "The limits that the endpoint declares.",
    });
  }
  return facts;
}

/** The upper bound of the total variation between the output and the target's distribution so far. */
export function boundWords(bound: number): string {
  if (bound >= 1)
    return "The bound has reached 1, the largest possible total variation, so it excludes nothing.";
  return `So far the total variation from the target’s distribution, summed over the rounds, is at most ${variation(bound, "up")}: no event has a probability that differs from the target’s by more.`;
}

const share = (part: number, all: number | null): string =>
  all === null || all === 0 ? "" : ` (${percent(part / all)} of the prompt)`;

/** What the rounds so far used, as far as it is known. `rounds`: their number. */
export function usageFacts(usage: UsageInfo, rounds: number, remote: RemoteInfo | null): Fact[] {
  const { prompt_tokens, completion_tokens, cached_tokens, sent_bytes, received_bytes } = usage;
  const perRound = rounds > 0 ? `, ${calls(usage.calls / rounds)} per round` : "";
  const facts: Fact[] = [
    {
      term: "Calls",
      value: `${whole(usage.calls)}${perRound}`,
      help: "Requests to the target for all rounds so far, without those of the baselines.",
    },
  ];
  const add = (term: string, value: string, help: string) => facts.push({ term, value, help });
  if (prompt_tokens !== null) {
    add("Prompt tokens", `${whole(prompt_tokens)} billed`, "Prompt tokens, as the endpoint counts them.");
  }
  if (cached_tokens !== null) {
    add(
      "Cached",
      `${whole(cached_tokens)}${share(cached_tokens, prompt_tokens)}`,
      "Prompt tokens that the endpoint took from its cache. Many endpoints bill less for them.",
    );
  }
  if (completion_tokens !== null) {
    add(
      "Completion tokens",
      `${whole(completion_tokens)} billed`,
      "Generated tokens, as the endpoint counts them.",
    );
  }
  const data = [
    sent_bytes !== null && `${kibibytes(sent_bytes / Math.max(1, rounds))} sent`,
    received_bytes !== null && `${kibibytes(received_bytes / Math.max(1, rounds))} received`,
  ].filter((words) => words !== false);
  if (data.length > 0) {
    add("Data per round", data.join(", "), "Bytes in both directions, on average over the rounds.");
  }
  if (remote?.rate_limit != null) {
    add("Rate limit", remote.rate_limit, "The limits that the endpoint declared when the run began.");
  }
  return facts;
}

type MeanTimes = Pick<
  MetricValues,
  "avg_draft_latency_ms" | "avg_verify_latency_ms" | "avg_network_ms" | "avg_hidden_draft_ms"
>;

/**
 * What would change if the target's machine drafted too, computed from the means of the rounds so far. Null without a
 * network and without drafts. What was drafted ahead in vain is in the hidden time, so with it the figures are bounds.
 */
export function placementWords(times: MeanTimes): string | null {
  const { avg_draft_latency_ms: draft, avg_verify_latency_ms: verify, avg_network_ms: network } = times;
  if (draft === null || verify === null || network === null) return null;
  const hidden = times.avg_hidden_draft_ms ?? 0;
  if (draft + hidden <= 0 || verify <= 0 || network <= 0) return null;
  const most = hidden > 0 ? "at most " : "";
  const there = milliseconds(draft + hidden + verify);
  const here = milliseconds(draft + verify + network);
  return `With both models there, a round would take ${most}${there} instead of ${here}, if that machine drafts as fast. Drafting here leaves a busy target ${most}${fixed(1 + (draft + hidden) / verify)} times as many clients. Computed from the means of this run.`;
}
