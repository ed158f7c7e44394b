import { readFileSync } from "node:fs";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { costsOf } from "../../run/costs";
import { parseRecording } from "../../run/recording";
import { emptyRun, reduceAll } from "../../run/reducer";
import { SpeedupScene } from "./SpeedupScene";

const TEXT = readFileSync("public/recording.jsonl", "utf8");
const RUN = reduceAll(emptyRun, parseRecording(TEXT)?.events ?? []);
afterEach(cleanup);

const slider = (name: string) => screen.getByRole("slider", { name });
const press = (name: string, key: string, times = 1) => {
  for (let press = 0; press < times; press += 1) fireEvent.keyDown(slider(name), { key });
};
const shape = () => screen.getByRole("status").textContent;
const arithmetic = () => screen.getByText(/^k = \d+:/).textContent;

it("finds peak and cliff of the costs that are chosen", () => {
  render(<SpeedupScene run={null} />);
  expect(shape()).toMatch(/^The best k is \d+: computed \d\.\d\d×\./);
  press("Draft cost c", "End");
  press("Growth of the pass g", "End");
  expect(shape()).toBe("No k pays here: the target alone is faster.");
  press("Draft cost c", "Home");
  press("Growth of the pass g", "Home");
  expect(shape()).toMatch(/^The best k is 16.*It still rises\.$/);
});

it("explains one column by its arithmetic", () => {
  render(<SpeedupScene run={null} />);
  expect(arithmetic()).toBe("k = 4: 3.36 tokens a round ÷ 1.60 passes of time = 2.10×, computed.");
  press("Depth k", "Home");
  expect(arithmetic()).toMatch(/1\.00×/);
});

it("takes the costs of the recorded run, whose measured speedup is not the computed one", () => {
  const costs = costsOf(RUN);
  expect(costs?.k).toBe(3);
  const { overall_tps = null, baseline_tps = null } = RUN.done?.metrics ?? {};
  expect(costs?.speedup).toBeCloseTo(Number(overall_tps) / Number(baseline_tps), 4);
  render(<SpeedupScene run={RUN} />);
  fireEvent.click(screen.getByRole("button", { name: "Set to the recorded run" }));
  expect(arithmetic()).toMatch(/^k = 3: /);
  expect(slider("Acceptance α").getAttribute("aria-valuenow")).toBe(`${costs?.acceptance.toFixed(2)}`);
  expect(screen.getByText(/^The recorded run drafted k = 3 and measured/)).toBeTruthy();
  expect(screen.getByText("measured: the recorded run, at its own costs")).toBeTruthy();
});

it("shows the round trip at which each depth breaks even", () => {
  render(<SpeedupScene run={null} />);
  fireEvent.click(screen.getByRole("radio", { name: "Longest round trip" }));
  expect(
    screen.getByRole("img", { name: /^Longest round trip in passes for k from 0 to 16: 0\.00, / }),
  ).toBeTruthy();
});
