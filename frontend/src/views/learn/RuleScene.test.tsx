import { readFileSync } from "node:fs";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { parseRecording } from "../../run/recording";
import { emptyRun, reduceAll } from "../../run/reducer";
import { seededRandom } from "../../theory/chance";
import { RuleScene } from "./RuleScene";

const TEXT = readFileSync("public/recording.jsonl", "utf8");
const RUN = reduceAll(emptyRun, parseRecording(TEXT)?.events ?? []);

beforeEach(() => {
  render(<RuleScene random={seededRandom(1)} run={RUN} />);
});
afterEach(cleanup);

const press = (name: string) => fireEvent.click(screen.getByRole("button", { name }));
const bar = (name: string) => screen.getByRole("slider", { name });
const percents = (which: string) =>
  screen
    .getAllByRole("slider", { name: new RegExp(`^${which}`) })
    .map((one) => Number(one.getAttribute("aria-valuenow")));
const verdict = () => screen.getByRole("status").textContent;

it("draws one token with its three steps, and counts it", () => {
  press("Draw one");
  expect(verdict()).toBe("1 draw: too few to compare with p.");
  const steps = screen.getByRole("list", { name: "The last draw" }).textContent;
  expect(steps).toMatch(/Draft: q gives “\w+”\.\S*Test: the uniform is 0\.\d{3} [<≥] [01]\.\d{3}: (acc|rej)/);
});

it("follows p under the rule, and under no broken one", () => {
  press("Draw 1,000");
  expect(verdict()).toMatch(/^1,000 draws\. What came out follows p/);
  for (const broken of ["always accept", "p instead of p/q", "redraw from p"]) {
    fireEvent.click(screen.getByRole("radio", { name: broken }));
    expect(verdict()).toBe("Nothing is drawn yet. Drag the blue ends of p and q, then draw.");
    press("Draw 1,000");
    expect(verdict()).toMatch(/does not follow p/);
  }
});

it("moves a bar with the keyboard; the others make room and the counts are cleared", () => {
  press("Draw 1,000");
  const first = bar("Target p of the");
  expect(first.getAttribute("aria-valuetext")).toBe("42 %");
  fireEvent.keyDown(first, { key: "PageUp" });
  expect(percents("Target p")[0]).toBe(52);
  expect(percents("Target p").reduce((sum, value) => sum + value, 0)).toBeCloseTo(100, -1);
  expect(percents("Draft q")).toEqual([20, 10, 14, 16, 40]);
  expect(verdict()).toBe("Nothing is drawn yet. Drag the blue ends of p and q, then draw.");
  fireEvent.keyDown(first, { key: "End" });
  expect(percents("Target p")).toEqual([96, 1, 1, 1, 1]);
  fireEvent.keyDown(first, { key: "Home" });
  expect(percents("Target p")[0]).toBe(1);
});

it("moves a bar with the pointer, while it is held", () => {
  const last = bar("Draft q of our");
  last.getBoundingClientRect = () => ({ left: 100, width: 200 }) as DOMRect;
  let held = false;
  last.setPointerCapture = () => {
    held = true;
  };
  last.hasPointerCapture = () => held;
  fireEvent.pointerMove(last, { clientX: 160 });
  expect(last.getAttribute("aria-valuenow")).toBe("40");
  fireEvent.pointerDown(last, { clientX: 140 });
  expect(last.getAttribute("aria-valuenow")).toBe("20");
  fireEvent.pointerMove(last, { clientX: 160 });
  expect(last.getAttribute("aria-valuenow")).toBe("30");
});

it("takes p and q of a recorded decision, which the counts follow too", () => {
  press("Set to the recorded run");
  expect(Number(bar("Draft q of ·takes").getAttribute("aria-valuenow"))).toBeGreaterThan(
    Number(bar("Target p of ·takes").getAttribute("aria-valuenow")),
  );
  press("Draw 1,000");
  expect(verdict()).toMatch(/follows p/);
});
