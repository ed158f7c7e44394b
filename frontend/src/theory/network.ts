// Decoding with the target across a network, played as a timeline in five modes.
import type { Random } from "./chance";

/**
 * `perCall`: one call for each token. `streaming`: one call for the whole answer. `drafts`: one call for each round.
 * `ahead`: the same, and the drafter drafts the next round while the target verifies this one. `there`: one call for the
 * whole answer, and the target's machine drafts too.
 */
export const MODES = ["perCall", "streaming", "drafts", "ahead", "there"] as const;
export type Mode = (typeof MODES)[number];

export interface NetworkCosts {
  readonly roundTripMs: number;
  /** A pass of the target over one row. */
  readonly passMs: number;
  /** One drafted token. */
  readonly draftMs: number;
  /** How much longer a pass takes for each drafted token, in passes. */
  readonly growth: number;
  /** The probability that a drafted token is accepted. */
  readonly acceptance: number;
  /** Tokens in a draft. */
  readonly k: number;
}

export type Part = "draft" | "network" | "verify" | "ahead";

export interface Block {
  readonly part: Part;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Lane {
  readonly mode: Mode;
  readonly blocks: readonly Block[];
  /** When each token arrives. */
  readonly arrivals: readonly number[];
}

export const tokensPerSecond = ({ arrivals }: Lane): number =>
  (1000 * arrivals.length) / (arrivals.at(-1) ?? 1);

/** To the target, a pass, and back. */
function call(fromMs: number, passMs: number, roundTripMs: number): Block[] {
  const way = roundTripMs / 2;
  return [
    { part: "network", fromMs, toMs: fromMs + way },
    { part: "verify", fromMs: fromMs + way, toMs: fromMs + way + passMs },
    { part: "network", fromMs: fromMs + way + passMs, toMs: fromMs + roundTripMs + passMs },
  ];
}

const endOf = (blocks: readonly Block[]): number => blocks.at(-1)?.toMs ?? 0;

function perCall({ passMs, roundTripMs }: NetworkCosts, tokens: number): Lane {
  const calls = Array.from({ length: tokens }, (_, token) =>
    call(token * (passMs + roundTripMs), passMs, roundTripMs),
  );
  return { mode: "perCall", blocks: calls.flat(), arrivals: calls.map(endOf) };
}

function streaming({ passMs, roundTripMs }: NetworkCosts, tokens: number): Lane {
  const way = roundTripMs / 2;
  const ends = Array.from({ length: tokens }, (_, token) => way + (token + 1) * passMs);
  const passes = ends.map((toMs): Block => ({ part: "verify", fromMs: toMs - passMs, toMs }));
  const last = ends.at(-1) ?? way;
  const blocks: Block[] = [
    { part: "network", fromMs: 0, toMs: way },
    ...passes,
    { part: "network", fromMs: last, toMs: last + way },
  ];
  return { mode: "streaming", blocks, arrivals: ends.map((end) => end + way) };
}

/** One round, played: how many tokens it gives, and whether the draft ahead guessed all of them. */
function playRound({ acceptance, k }: NetworkCosts, random: Random): { emitted: number; guessed: boolean } {
  // Always k + 1 numbers, so that all modes play the same rounds.
  const passed = Array.from({ length: k + 1 }, () => random() < acceptance);
  const failed = passed.indexOf(false);
  return { emitted: Math.min(failed < 0 ? k : failed, k) + 1, guessed: failed < 0 };
}

function speculative(mode: "drafts" | "ahead", costs: NetworkCosts, tokens: number, random: Random): Lane {
  const { k, draftMs, passMs, growth, roundTripMs } = costs;
  const blocks: Block[] = [];
  const arrivals: number[] = [];
  let sentMs = k * draftMs;
  blocks.push({ part: "draft", fromMs: 0, toMs: sentMs });
  while (arrivals.length < tokens) {
    const round = call(sentMs, passMs * (1 + growth * k), roundTripMs);
    const answerMs = endOf(round);
    const { emitted, guessed } = playRound(costs, random);
    blocks.push(...round);
    for (let token = 0; token < emitted && arrivals.length < tokens; token += 1) arrivals.push(answerMs);
    // Ahead are the token after the draft, which is guessed, and the next k.
    const aheadEndMs = sentMs + (k + 1) * draftMs;
    // A draft ahead that would be ready later than a new one is given up.
    const hit = mode === "ahead" && guessed && aheadEndMs <= answerMs + k * draftMs;
    const stopMs = hit ? aheadEndMs : Math.min(aheadEndMs, answerMs);
    if (mode === "ahead" && arrivals.length < tokens) {
      blocks.push({ part: "ahead", fromMs: sentMs, toMs: stopMs });
    }
    sentMs = hit ? Math.max(answerMs, aheadEndMs) : answerMs + k * draftMs;
    if (!hit && arrivals.length < tokens) blocks.push({ part: "draft", fromMs: answerMs, toMs: sentMs });
  }
  return { mode, blocks, arrivals };
}

/** Both models on the target's machine: a round costs no round trip, and its tokens are sent as in a stream. */
function there(costs: NetworkCosts, tokens: number, random: Random): Lane {
  const { k, draftMs, passMs, growth, roundTripMs } = costs;
  const way = roundTripMs / 2;
  const blocks: Block[] = [{ part: "network", fromMs: 0, toMs: way }];
  const arrivals: number[] = [];
  let atMs = way;
  while (arrivals.length < tokens) {
    const sentMs = atMs + k * draftMs;
    const endMs = sentMs + passMs * (1 + growth * k);
    blocks.push(
      { part: "draft", fromMs: atMs, toMs: sentMs },
      { part: "verify", fromMs: sentMs, toMs: endMs },
    );
    const { emitted } = playRound(costs, random);
    for (let token = 0; token < emitted && arrivals.length < tokens; token += 1) arrivals.push(endMs + way);
    atMs = endMs;
  }
  blocks.push({ part: "network", fromMs: atMs, toMs: atMs + way });
  return { mode: "there", blocks, arrivals };
}

/**
 * How many times as many clients a busy target serves if they draft themselves: it then spends a pass on a round, and
 * no drafting.
 */
export const capacityGain = ({ k, draftMs, passMs, growth }: NetworkCosts): number =>
  1 + (k * draftMs) / (passMs * (1 + growth * k));

export function laneOf(mode: Mode, costs: NetworkCosts, tokens: number, random: Random): Lane {
  if (mode === "perCall") return perCall(costs, tokens);
  if (mode === "streaming") return streaming(costs, tokens);
  if (mode === "there") return there(costs, tokens, random);
  return speculative(mode, costs, tokens, random);
}
