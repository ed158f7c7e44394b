import { expect, it } from "vitest";
import { metricsOf } from "../../testing/runs";
import { isLagging } from "./lag";

const at = (t_ms: number, run = "r") => ({ latest: { ...metricsOf(0, 4, 2, 3), run, t_ms } });

it("figures lag if there are none yet, if they are of another run, or after a second", () => {
  expect(isLagging({ latest: null }, { latest: null })).toBe(false);
  expect(isLagging({ latest: null }, at(5))).toBe(true);
  expect(isLagging(at(5), at(1005))).toBe(false);
  expect(isLagging(at(5), at(1006))).toBe(true);
  expect(isLagging(at(5, "before"), at(6))).toBe(true);
  expect(isLagging(at(5), { latest: null })).toBe(false);
});
