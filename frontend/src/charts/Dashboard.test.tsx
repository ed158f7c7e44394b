import { fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { MetricValues } from "../protocol/generated";
import type { Run } from "../state/model";
import { chain, IDLE, roundOf, STARTED, VALUES } from "../viz/fixture";
import { Dashboard } from "./Dashboard";

const GOOD: MetricValues = {
  ...VALUES,
  rounds: 3,
  tokens: 12,
  drafted: 12,
  accepted: 9,
  bonus: 1,
  resampled: 2,
  acceptance_rate: 0.75,
  mean_acceptance_length: 4,
  tokens_per_round: 4,
  ttft_ms: 940,
  effective_tps: 16.4,
  baseline_tps: 13.2,
  speedup: 1.24,
  per_position_acceptance_rate: [1, 0.8],
  conditional_acceptance_rate: [1, null],
};

function runWith(values: Partial<MetricValues>): Run {
  const rounds = [0, 1, 2].map((i) => roundOf(i, chain("aaar+")));
  const last = rounds[2]?.metrics;
  const latest = last ? { ...last, metrics: { ...GOOD, ...values } } : null;
  return { ...IDLE, phase: "running", started: STARTED, rounds, latest };
}

beforeEach(() => {
  vi.spyOn(HTMLElement.prototype, "getBoundingClientRect").mockReturnValue(new DOMRect(0, 0, 300, 120));
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  );
});
afterEach(() => {
  document.body.replaceChildren();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

it("shows the speedup and what it is measured against", () => {
  render(<Dashboard run={runWith({})} onMeasurePlain={null} />);
  const speedup = screen.getByRole("region", { name: "Speedup" });
  expect(speedup.textContent).toContain("1.24×");
  expect(speedup.textContent).toContain("16.4 tok/s against 13.2 plain, measured (16 tokens at start");
});

it("shows a dash and the reason where there is no baseline", () => {
  render(<Dashboard run={runWith({ baseline_tps: null, speedup: null })} onMeasurePlain={null} />);
  const speedup = screen.getByRole("region", { name: "Speedup" });
  expect(speedup.textContent).not.toContain("×");
  expect(speedup.textContent).toContain("the target alone has not been measured yet");
});

it("offers to measure the target alone, only where that is possible", () => {
  const measure = vi.fn();
  const { rerender } = render(<Dashboard run={runWith({})} onMeasurePlain={measure} />);
  fireEvent.click(screen.getByRole("button", { name: "Measure plain now" }));
  expect(measure).toHaveBeenCalledOnce();
  rerender(<Dashboard run={runWith({})} onMeasurePlain={null} />);
  expect(screen.queryByRole("button", { name: "Measure plain now" })).toBeNull();
});

it("shows the figures as text besides the charts", () => {
  render(<Dashboard run={runWith({})} onMeasurePlain={null} />);
  expect(screen.getByRole("img", { name: "Acceptance rate 75 %" })).toBeTruthy();
  expect([...document.querySelectorAll("dd")].map((value) => value.textContent)).toEqual([
    "4.00",
    "4.00",
    "940 ms",
  ]);
});

it("gives each chart a table", () => {
  render(<Dashboard run={runWith({})} onMeasurePlain={null} />);
  for (const name of ["Tokens per second", /^Latency per round/, "Acceptance by position"]) {
    expect(screen.getByRole("table", { name }).querySelectorAll("tbody tr").length).toBeGreaterThan(1);
  }
  expect(screen.getByRole("table", { name: "Acceptance by position" }).textContent).toContain("–");
});

it("shows dashes, not zeros, before a run", () => {
  render(<Dashboard run={IDLE} onMeasurePlain={null} />);
  expect(screen.getByRole("img", { name: "Acceptance rate unknown" })).toBeTruthy();
  expect([...document.querySelectorAll("dd")].map((value) => value.textContent)).toEqual(["–", "–", "–"]);
});
