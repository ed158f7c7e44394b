import { describe, expect, it } from "vitest";
import { BATCHES, batchRound, batchSpeedup, largestGain, passTime } from "./batch";
import { speedupAt } from "./speedup";

const COSTS = { acceptance: 0.8, draft: 0.05, k: 4, freeRows: 64 };

describe("several requests in one pass", () => {
  it("cost nothing more until the rows fill the time of reading the weights", () => {
    expect([1, 64, 128].map((rows) => passTime(rows, 64))).toEqual([1, 1, 2]);
    expect(batchRound(COSTS, 1)).toBeCloseTo(1.2, 12);
    expect(batchRound(COSTS, 64)).toBeCloseTo(0.2 + 5, 12);
  });

  it("gain what one request gains while rows are free", () => {
    const single = speedupAt({ acceptance: 0.8, draft: 0.05, growth: 0, roundTrip: 0 }, 4);
    for (const requests of [1, 8]) expect(batchSpeedup(COSTS, requests)).toBeCloseTo(single, 12);
  });

  it("gain less the more there are, and in the end lose", () => {
    const gains = BATCHES.map((requests) => batchSpeedup(COSTS, requests));
    for (const [at, gain] of gains.slice(1).entries()) expect(gain).toBeLessThanOrEqual(gains[at] ?? 0);
    // 3.3616 tokens for 5 rows, when every row is paid.
    expect(gains.at(-1)).toBeCloseTo(3.3616 / 5.2, 12);
    expect(largestGain(COSTS)).toBe(32);
    expect(largestGain({ ...COSTS, acceptance: 0 })).toBeNull();
    expect(largestGain({ ...COSTS, draft: 0, freeRows: 100_000 })).toBe(256);
  });
});
