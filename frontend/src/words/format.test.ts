import { describe, expect, it } from "vitest";
import {
  bytes,
  counted,
  fixed,
  kibibytes,
  milliseconds,
  percent,
  shown,
  spoken,
  variation,
  whole,
} from "./format";

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

  it("shows a total variation with decimals, and rounds an upper bound up", () => {
    expect([0, 0.00003, 0.0047, 0.0281, 0.5, 1].map((value) => variation(value))).toEqual([
      "0",
      "< 0.0001",
      "0.0047",
      "0.028",
      "0.500",
      "1.000",
    ]);
    expect([variation(0.0342, "up"), variation(0.035, "up")]).toEqual(["0.035", "0.035"]);
    expect(variation(null)).toBe("–");
  });

  it("shows a sign only where a digit is left", () => {
    expect([fixed(-0.004), fixed(-0.006), fixed(-0.4, 0), fixed(-12)]).toEqual([
      "0.00",
      "−0.01",
      "0",
      "−12.00",
    ]);
  });

  it("shows unknown as a dash", () => {
    expect([fixed(null), percent(undefined), milliseconds(Number.NaN)]).toEqual(["–", "–", "–"]);
  });

  it("formats sizes and counts in a unit that suits them", () => {
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

  it("formats message sizes in binary units, and counts in digits", () => {
    expect([474, 2970, 3_250_586, null].map(kibibytes)).toEqual(["474 bytes", "2.9 KiB", "3.1 MiB", "–"]);
    expect([12_480, undefined].map(whole)).toEqual(["12,480", "–"]);
  });

  it("makes white space visible, and names it for screen readers", () => {
    expect(shown(" a\n\tb")).toBe("·a↵⇥b");
    expect(["\n\n", "   ", " if"].map(spoken)).toEqual(["line break", "spaces", "if"]);
  });
});
