import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { MetricValues } from "../protocol/generated";
import type { Run } from "../run/model";
import type { BaselineKind } from "../run/verdict";
import { chain, IDLE, PLAN, roundOf, STARTED, STARTED_REMOTE, USAGE, VALUES } from "../testing/runs";
import { Dashboard } from "./Dashboard";
import { VerdictStrip } from "./VerdictStrip";

/** The verdict and the dashboard, as on the page. */
function Panel({ run, onMeasurePlain }: { run: Run; onMeasurePlain: (() => void) | null }) {
  const [kind, setKind] = useState<BaselineKind>("streaming");
  const verdict = { run, baselineKind: kind, onBaselineKind: setKind, onMeasurePlain, measuring: null };
  return (
    <>
      <VerdictStrip {...verdict} />
      <Dashboard run={run} baselineKind={kind} />
    </>
  );
}

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

function runWith(values: Partial<MetricValues>, started = STARTED): Run {
  const rounds = [0, 1, 2].map((i) => roundOf(i, chain("aaar+")));
  const last = rounds[2]?.metrics;
  const latest = last ? { ...last, ...GOOD, ...values } : null;
  return { ...IDLE, phase: "running", started, rounds, latest };
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

it("shows the speedup and its baseline", () => {
  render(<Panel run={runWith({})} onMeasurePlain={null} />);
  const speedup = screen.getByRole("region", { name: "Speedup" });
  expect(speedup.textContent).toContain("1.24×");
  expect(speedup.textContent).toContain("16.4 tok/s against 13.2 plain, measured (16 tokens at start");
});

it("shows no speedup where passes took much longer than the baseline's, and leads to a measurement", () => {
  const pass_times = [
    { tokens: 1, ms: 76 },
    { tokens: 5, ms: 100 },
  ];
  const run = runWith({}, { ...STARTED, pass_times });
  const rounds = [0, 1, 2, 3, 4].map((i) => roundOf(i, chain("aaar+")));
  render(<Panel run={{ ...run, rounds }} onMeasurePlain={vi.fn()} />);
  const speedup = screen.getByRole("region", { name: "Speedup" });
  expect(speedup.textContent).toMatch(
    /^No verdict( yet)?not comparable: A pass over 5 tokens took 2\d\d ms in this run/,
  );
  expect(speedup.textContent).toContain("Measure plain now: that run is drawn as this one was.");
  expect(speedup.textContent).not.toMatch(/×|÷|break-even/);
  expect(speedup.dataset.pays).toBeUndefined();
  expect(screen.getByRole("button", { name: "Measure plain now" }).className).toContain("is-urgent");
  cleanup();
  const baseline = { tps: 13.2, tokens: 64, context_tokens: 12, age_s: 0, kind: "plain_run" } as const;
  const judged = { ...run, rounds, started: { ...STARTED, pass_times, baseline } };
  render(<Panel run={judged} onMeasurePlain={vi.fn()} />);
  expect(screen.getByRole("region", { name: "Speedup" }).textContent).toContain("generate again.");
});

it("shows a dash and the reason without a baseline", () => {
  render(<Panel run={runWith({ baseline_tps: null, speedup: null })} onMeasurePlain={null} />);
  const speedup = screen.getByRole("region", { name: "Speedup" });
  expect(speedup.textContent).not.toContain("×");
  expect(speedup.textContent).toContain("the target alone has not been measured yet");
});

it("offers to measure the baseline, only if that is possible", () => {
  const measure = vi.fn();
  const { rerender } = render(<Panel run={runWith({})} onMeasurePlain={measure} />);
  fireEvent.click(screen.getByRole("button", { name: "Measure plain now" }));
  expect(measure).toHaveBeenCalledOnce();
  rerender(<Panel run={runWith({})} onMeasurePlain={null} />);
  expect(screen.queryByRole("button", { name: "Measure plain now" })).toBeNull();
});

it("shows what the prompt cache held of the prompt", () => {
  const run = runWith({});
  const [first, ...rest] = run.rounds;
  const prompt_cache = { hit_tokens: 320, prompt_tokens: 412, saved_ms: 1040, held_tokens: 1830 };
  if (!first?.metrics) throw new Error("expected a first round");
  const rounds = [{ ...first, metrics: { ...first.metrics, prompt_cache } }, ...rest];
  render(<Panel run={{ ...run, rounds }} onMeasurePlain={null} />);
  const term = screen.getByText("Prompt cache").closest("div");
  expect(term?.textContent).toContain("320 / 412");
});

it("shows no prompt cache for a remote target", () => {
  render(<Panel run={runWith({})} onMeasurePlain={null} />);
  expect(screen.queryByText("Prompt cache")).toBeNull();
});

it("shows the figures as text next to the charts", () => {
  render(<Panel run={runWith({})} onMeasurePlain={null} />);
  expect(screen.getByRole("img", { name: "Acceptance rate 75 %" })).toBeTruthy();
  expect([...document.querySelectorAll("dd")].map((value) => value.textContent)).toEqual([
    "4.00",
    "4.00",
    "940 ms",
  ]);
});

it("gives each chart a table", () => {
  render(<Panel run={runWith({})} onMeasurePlain={null} />);
  for (const name of ["Tokens per second", /^Latency per round/, "Acceptance by position"]) {
    expect(screen.getByRole("table", { name }).querySelectorAll("tbody tr").length).toBeGreaterThan(1);
  }
  expect(screen.getByRole("table", { name: "Acceptance by position" }).textContent).toContain("–");
});

it("shows the values of the round under the pointer", () => {
  render(<Panel run={runWith({})} onMeasurePlain={null} />);
  const speeds = screen.getByRole("img", { name: "Tokens per second by round" });
  const times = screen.getByRole("img", { name: "Latency per round, last ten rounds" });
  fireEvent.pointerMove(speeds, { clientX: 1000 });
  fireEvent.pointerMove(times, { clientX: 0 });
  const [speed, time] = [...document.querySelectorAll(".db-tooltip")].map(({ textContent }) => textContent);
  expect(speed).toMatch(/^round 3round: [\d.]+ tok\/srunning: .*baseline: 13\.2 tok\/s$/);
  expect(time).toMatch(/^round 1draft .*verify .*ms/);
  fireEvent.pointerLeave(speeds);
  expect(document.querySelectorAll(".db-tooltip")).toHaveLength(1);
});

it("shows dashes, not zeros, before a run", () => {
  render(<Panel run={IDLE} onMeasurePlain={null} />);
  expect(screen.getByRole("img", { name: "Acceptance rate unknown" })).toBeTruthy();
  expect([...document.querySelectorAll("dd")].map((value) => value.textContent)).toEqual(["–", "–", "–"]);
});

describe("a remote target", () => {
  const REMOTE_VALUES: Partial<MetricValues> = {
    effective_tps: 15.5,
    baseline_tps: 12.5,
    speedup: 1.24,
    per_call_tps: 7.75,
    per_call_speedup: 2,
    usage: USAGE,
  };
  const show = (values: Partial<MetricValues> = {}, changes: Partial<Run> = {}) => {
    const run = { ...runWith({ ...REMOTE_VALUES, ...values }, STARTED_REMOTE), ...changes };
    render(<Panel run={run} onMeasurePlain={() => {}} />);
    return screen.getByRole("region", { name: "Speedup" });
  };
  const usage = () =>
    [...screen.getByRole("region", { name: "Usage of the target" }).querySelectorAll("dl > div")].map((row) =>
      [...row.children].map((part) => part.textContent),
    );

  it("switches the baseline of the speedup, and the line in the chart with it", () => {
    const speedup = show();
    expect(speedup.textContent).toContain("15.5 tok/s against 12.5 streaming, measured (16 tokens");
    const keys = () => screen.getByRole("region", { name: "Tokens per second" }).textContent;
    expect(keys()).toContain("streaming");
    fireEvent.click(screen.getByRole("radio", { name: "per call" }));
    expect(speedup.textContent).toContain("15.5 tok/s against 7.8 with one call per token");
    expect(keys()).not.toContain("streaming");
    expect(keys()).toContain("per call");
  });

  it("shows a dash and the reason if a baseline was not measured", () => {
    const speedup = show({ per_call_tps: null, per_call_speedup: null });
    fireEvent.click(screen.getByRole("radio", { name: "per call" }));
    expect(speedup.textContent).toContain("15.5 tok/s; one call per token has not been measured yet");
  });

  it("claims no speedup and shows no baseline for an unverified run", () => {
    const speedup = show({}, { weakest: "unverified" });
    expect(speedup.textContent).not.toContain("×");
    expect(speedup.textContent).toContain("not claimed");
    expect(screen.queryByRole("radio")).toBeNull();
    expect(screen.queryByRole("button", { name: "Measure plain now" })).toBeNull();
    expect(screen.getByRole("region", { name: "Tokens per second" }).textContent).not.toContain("streaming");
  });

  it("lists the usage", () => {
    show();
    expect(usage()).toEqual([
      ["Calls", "6, 2 per round"],
      ["Prompt tokens", "12,480 billed"],
      ["Cached", "3,120 (25 % of the prompt)"],
      ["Completion tokens", "21 billed"],
      ["Data per round", "2.9 KiB sent, 1.1 KiB received"],
    ]);
  });

  it("has no rows for unknown usage", () => {
    const unknown = { prompt_tokens: null, completion_tokens: null, cached_tokens: null, sent_bytes: null };
    show({ usage: { ...USAGE, ...unknown, received_bytes: null } });
    expect(usage()).toEqual([["Calls", "6, 2 per round"]]);
  });

  it("shows the plan of the last round, expected apart from measured", () => {
    const auto = { ...STARTED, policy: "auto", k: 12 };
    const { latest, ...run } = runWith({}, auto);
    const last = latest && { ...latest, plan: PLAN };
    const { rerender } = render(<Panel run={{ ...run, latest: last }} onMeasurePlain={null} />);
    const plan = screen.getByRole("region", { name: "Plan of the round" });
    expect(plan.textContent).toMatch(/^Plan of round 3auto, at most 12/);
    const rows = [...plan.querySelectorAll("dl > div")].map((row) => row.textContent);
    expect(rows).toEqual([
      expect.stringMatching(/^expectedDraft model, 3 tokens: 2\.6 tokens expected .*20\sms expected\.$/),
      expect.stringMatching(/^measured4 tokens drafted, 4 emitted in \d+\sms\.$/),
    ]);
    expect(rows[0]).not.toContain("measured");
    expect(rows[1]).not.toContain("expected");
    expect(plan.querySelectorAll(".plan-mark.is-expected")).toHaveLength(1);

    rerender(<Panel run={runWith({}, { ...auto, policy: "adaptive" })} onMeasurePlain={null} />);
    expect(plan.textContent).toMatch(/adaptive, at most 12Depth 4, by what became of the last draft\.$/);
    rerender(<Panel run={runWith({})} onMeasurePlain={null} />);
    expect(screen.queryByRole("region", { name: "Plan of the round" })).toBeNull();
  });

  it("has no usage and one baseline for a target in the server's process", () => {
    render(<Panel run={runWith({})} onMeasurePlain={null} />);
    expect(screen.queryByRole("region", { name: "Usage of the target" })).toBeNull();
    expect(screen.queryByRole("radio")).toBeNull();
  });

  it("shows drafting ahead next to the parts, and in the table", () => {
    const { rounds, latest } = runWith(REMOTE_VALUES, STARTED_REMOTE);
    const ahead = rounds.map((round, i) => ({
      ...round,
      metrics: round.metrics && { ...round.metrics, hidden_draft_ms: [0, 31, 0][i] ?? 0, round_usage: USAGE },
    }));
    show({}, { rounds: ahead, latest });
    expect(screen.getByRole("button", { name: "drafting ahead" })).toBeTruthy();
    const table = screen.getByRole("table", { name: /^Latency per round/ });
    const column = [...table.querySelectorAll("tbody tr")].map((row) => row.lastElementChild?.textContent);
    expect(column).toEqual(["0 ms", "31 ms", "0 ms"]);
    expect(document.querySelectorAll(".db-ahead")).toHaveLength(1);
  });

  it("shows the kept mass if the vocabularies differ", () => {
    show({ kept_mass: 0.914 });
    const kept = screen.getByText("Kept mass").closest("div");
    expect(kept?.querySelector("dd")?.textContent).toBe("91.4 %");
  });
});
