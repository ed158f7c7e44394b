import { expect, it } from "vitest";
import { arrivalsMs, firstTokenMs, prefillMs, weightsRead } from "./waiting";

const PLAIN = { promptTokens: 2000, cached: 0, prefillTps: 1000, decodeTps: 20, roundTripMs: 80 };

it("waits for the round trip and the prompt, then for one pass a token", () => {
  expect(prefillMs(PLAIN)).toBe(2000);
  expect(firstTokenMs(PLAIN)).toBe(2080);
  expect(arrivalsMs(PLAIN, 4)).toEqual([2080, 2130, 2180, 2230]);
});

it("reads only what is not in the cache, and pays the round trip once", () => {
  const cached = { ...PLAIN, cached: 0.75 };
  expect(prefillMs(cached)).toBe(500);
  const [first = 0, second = 0] = arrivalsMs({ ...cached, roundTripMs: 500 }, 2);
  expect([first, second - first]).toEqual([1000, 50]);
  expect(weightsRead(2e9, 20)).toBe(4e10);
});
