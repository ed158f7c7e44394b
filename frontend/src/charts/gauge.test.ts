import { describe, expect, it } from "vitest";
import { chain, IDLE, roundOf, STARTED, VALUES } from "../testing/runs";
import { gaugeOf } from "./gauge";

const values = { ...VALUES, acceptance_rate: 0.14, mean_acceptance_length: 3.4 };
const run = { ...IDLE, started: { ...STARTED, k: 4 }, rounds: [roundOf(0, chain("aaar+"))] };

describe("the gauge", () => {
  it("shows the acceptance rate of a chain, in the colour of its band", () => {
    expect(gaugeOf(run, values)).toMatchObject({
      title: "Acceptance",
      share: 0.14,
      value: "14 %",
      colour: "var(--gauge-low)",
    });
  });

  it("shows the depth that a tree reaches, and does not call it bad", () => {
    const tree = { ...run, started: { ...STARTED, k: 4, nodes: 20 } };
    const gauge = gaugeOf(tree, values);
    expect(gauge).toMatchObject({ title: "Depth reached", value: "2.4 of 4", limits: [] });
    expect(gauge.share).toBeCloseTo(0.6);
    expect(gauge.colour).not.toMatch(/gauge/);
    expect(gauge.history).toHaveLength(1);
  });

  it("is unknown before the first draft", () => {
    expect(gaugeOf(run, null)).toMatchObject({ share: null, value: "–" });
    expect(gaugeOf({ ...run, started: { ...STARTED, k: 4, nodes: 20 } }, null).share).toBeNull();
  });
});
