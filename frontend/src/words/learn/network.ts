// The words of the scene "Across a network".
import { capacityGain, type Lane, type Mode, type NetworkCosts, tokensPerSecond } from "../../theory/network";
import { fixed, percent, plural } from "../format";
import type { SliderOf } from "./sliders";

export const LEAD =
  "The target may be in another building or behind an API, and the drafter next to you. Then every call to the target also costs a round trip. How often it is paid decides what is fastest.";

export const MODE_NAMES: Readonly<Record<Mode, string>> = {
  perCall: "one call for each token",
  streaming: "one streaming call",
  drafts: "drafts, one call a round",
  ahead: "drafts, and drafting ahead",
  there: "both models there, one streaming call",
};

export const MODE_NOTES: readonly (readonly [string, string])[] = [
  ["One call for each token", "pays the round trip every time. It is the slowest mode."],
  [
    "One streaming call",
    "pays it once: the target decodes alone and sends each token. Drafts must beat this mode.",
  ],
  [
    "Drafts",
    "pay it once a round. A round gives several tokens, but the target waits while the next draft is made.",
  ],
  [
    "Drafting ahead",
    "makes the next draft while the target verifies this one, on the guess that all of this one is accepted. A wrong guess costs work, but no time.",
  ],
  [
    "Both models there",
    "pays the round trip once, and drafts as well. For one client it is faster than drafts that are sent. Drafting ahead can beat it: two machines then work at the same time, and its right guesses hide more than the round trip.",
  ],
];

export const SLIDERS: readonly SliderOf<NetworkCosts>[] = [
  {
    field: "roundTripMs",
    name: "Round trip",
    lowest: 0,
    highest: 300,
    step: 5,
    help: "To the target and back",
  },
  { field: "passMs", name: "Pass of the target", lowest: 5, highest: 200, step: 1, help: "For one token" },
  {
    field: "growth",
    name: "Growth of the pass g",
    lowest: 0,
    highest: 0.6,
    step: 0.01,
    help: "For each drafted token",
  },
  { field: "draftMs", name: "Drafted token", lowest: 0, highest: 60, step: 1, help: "Time of one" },
  {
    field: "acceptance",
    name: "Acceptance α",
    lowest: 0,
    highest: 0.99,
    step: 0.01,
    help: "Of a drafted token",
  },
  { field: "k", name: "Draft length k", lowest: 1, highest: 16, step: 1, help: "Tokens in a draft" },
];

export function sliderWords(field: keyof NetworkCosts, value: number): string {
  if (field === "acceptance") return percent(value);
  if (field === "growth") return `${fixed(value)} passes`;
  if (field === "k") return plural(value, "token");
  return `${value} ms`;
}

/** The fastest lane, and what it gains over the streaming call. */
export function fastestWords(lanes: readonly Lane[]): string {
  const stream = lanes.find(({ mode }) => mode === "streaming");
  const fastest = lanes.reduce((a, b) => (tokensPerSecond(b) > tokensPerSecond(a) ? b : a));
  const rate = `${fixed(tokensPerSecond(fastest), 1)} tokens per second`;
  if (!stream || fastest.mode === "streaming")
    return `Fastest: one streaming call, ${rate}. Drafts do not pay here. Computed.`;
  const gain = fixed(tokensPerSecond(fastest) / tokensPerSecond(stream));
  return `Fastest: ${MODE_NAMES[fastest.mode]}, ${rate}, ${gain}× the streaming call. Computed.`;
}

/** What drafting at the clients is for: the target's machine does not draft. */
export const capacityWords = (costs: NetworkCosts): string =>
  `What drafting here gains is capacity: a busy target spends its time on passes alone. With these costs it serves ${fixed(capacityGain(costs))} times as many clients as with both models there:`;

export const CAPACITY_LETTERS = "time of k drafted tokens and of a pass over k + 1 tokens";

export const laneWords = (lane: Lane): string =>
  `${MODE_NAMES[lane.mode]}: ${fixed(tokensPerSecond(lane), 1)} tokens/s`;
