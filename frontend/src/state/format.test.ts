import { describe, expect, it } from "vitest";
import { bytes, counted, fixed, milliseconds, percent, shown, spoken } from "./format";

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

  it("says sizes and counts in the unit that suits them", () => {
    expect([0, 812, 98_362_432, 1_117_320_768].map(bytes)).toEqual([
      "0 bytes",
      "812 bytes",
      "98.4 MB",
      "1.12 GB",
    ]);
    expect([0, 812, 134_515_008, 1_543_714_304].map(counted)).toEqual([
      "0",
      "812",
      "135 million",
      "1.54 billion",
    ]);
    expect([bytes(null), counted(undefined)]).toEqual(["–", "–"]);
  });

  it("makes white space visible, and speakable", () => {
    expect(shown(" a\n\tb")).toBe("·a↵⇥b");
    expect(["\n\n", "   ", " if"].map(spoken)).toEqual(["line break", "spaces", "if"]);
  });
});
