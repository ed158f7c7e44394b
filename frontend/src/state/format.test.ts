import { describe, expect, it } from "vitest";
import { fixed, milliseconds, percent, shown, spoken } from "./format";

describe("format", () => {
  it("never rounds a probability to certainty or impossibility", () => {
    expect([0, 1, 0.5, 0.999, 0.00002, 0.99996].map(percent)).toEqual([
      "0 %",
      "100 %",
      "50 %",
      "99.90 %",
      "< 0.01 %",
      "> 99.99 %",
    ]);
  });

  it("shows unknown as a dash", () => {
    expect([fixed(null), percent(undefined), milliseconds(Number.NaN)]).toEqual(["–", "–", "–"]);
  });

  it("makes white space visible, and speakable", () => {
    expect(shown(" a\n\tb")).toBe("·a↵⇥b");
    expect(["\n\n", "   ", " if"].map(spoken)).toEqual(["line break", "spaces", "if"]);
  });
});
