import { describe, expect, it } from "vitest";
import { seededRandom } from "./chance";
import { capacityGain, laneOf, MODES, type NetworkCosts, tokensPerSecond } from "./network";

const COSTS: NetworkCosts = {
  roundTripMs: 40,
  passMs: 20,
  draftMs: 4,
  growth: 0.25,
  acceptance: 0.8,
  k: 3,
};
const lane = (mode: (typeof MODES)[number], changes: Partial<NetworkCosts> = {}, tokens = 24) =>
  laneOf(mode, { ...COSTS, ...changes }, tokens, seededRandom(4));

describe("the timeline of a distant target", () => {
  it("pays a round trip for each token, or once for a stream", () => {
    expect(lane("perCall", {}, 5).arrivals).toEqual([60, 120, 180, 240, 300]);
    expect(lane("streaming", {}, 3).arrivals).toEqual([60, 80, 100]);
    expect(tokensPerSecond(lane("perCall", {}, 5))).toBeCloseTo(1000 / 60, 9);
  });

  it("pays a draft, a round trip and a pass over k + 1 rows for each round", () => {
    // 12 ms of draft + 40 + 35 ms, and 4 tokens a round.
    const full = lane("drafts", { acceptance: 1 }, 8);
    expect(full.arrivals).toEqual([87, 87, 87, 87, 174, 174, 174, 174]);
    expect(lane("drafts", { acceptance: 0 }, 2).arrivals).toEqual([87, 174]);
  });

  it("hides the draft of the next round if its guess is right, and only then", () => {
    // Sent at 12, answered at 87; the next draft is ready at 12 + 16 and waits for the answer.
    expect(lane("ahead", { acceptance: 1 }, 8).arrivals.slice(-1)).toEqual([162]);
    expect(lane("ahead", { acceptance: 1, draftMs: 30 }, 8).arrivals.slice(-1)).toEqual([90 + 120 + 75]);
    expect(lane("ahead", { acceptance: 0 }).arrivals).toEqual(lane("drafts", { acceptance: 0 }).arrivals);
  });

  it("plays the same rounds with and without drafting ahead, which is never later", () => {
    const ahead = lane("ahead").arrivals;
    const drafts = lane("drafts").arrivals;
    expect(ahead).toHaveLength(24);
    for (const [at, arrival] of drafts.entries()) expect(ahead[at]).toBeLessThanOrEqual(arrival);
    expect(ahead.at(-1)).toBeLessThan(drafts.at(-1) ?? 0);
  });

  it("pays the round trip once if both models are there, and is then never later than drafts that are sent", () => {
    // 20 ms there, 12 ms of draft + 35 ms a round, 20 ms back.
    expect(lane("there", { acceptance: 1 }, 8).arrivals).toEqual([87, 87, 87, 87, 134, 134, 134, 134]);
    for (const [at, arrival] of lane("drafts").arrivals.entries()) {
      expect(lane("there").arrivals[at]).toBeLessThanOrEqual(arrival);
    }
    const near = { roundTripMs: 0 };
    expect(lane("there", near).arrivals).toEqual(lane("drafts", near).arrivals);
  });

  it("leaves a busy target more clients by the drafting that it does not do", () => {
    expect(capacityGain(COSTS)).toBeCloseTo(1 + 12 / 35, 12);
    expect(capacityGain({ ...COSTS, draftMs: 0 })).toBe(1);
  });

  it("never does two things at once in one lane, drafting ahead apart", () => {
    for (const mode of MODES) {
      const blocks = lane(mode).blocks.filter(({ part }) => part !== "ahead");
      for (const [at, block] of blocks.entries()) {
        expect(block.toMs).toBeGreaterThanOrEqual(block.fromMs);
        if (at > 0) expect(block.fromMs).toBeGreaterThanOrEqual((blocks[at - 1]?.toMs ?? 0) - 1e-9);
      }
    }
  });
});
