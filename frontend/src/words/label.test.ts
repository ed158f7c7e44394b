import { describe, expect, it } from "vitest";
import { cells, elide, visible } from "./label";

describe("visible", () => {
  it.each([
    [" the", "·the"],
    ["\n", "↵"],
    ["\t\t", "⇥⇥"],
    ["\n        ", "↵·⁸"],
    [" ".repeat(12), "·¹²"],
    ["a b", "a·b"],
    ["", "∅"],
    ["\u200b", "U+200B"],
    ["👩‍💻", "👩‍💻"],
    ["\\xe2\\x82", "\\xe2\\x82"],
  ])("%j is drawn as %s", (label, drawn) => {
    expect(visible(label)).toBe(drawn);
  });
});

describe("elide", () => {
  it("leaves what fits", () => expect(elide("merge", 5)).toBe("merge"));
  it("ends in an ellipsis within the limit", () => {
    expect(elide("unbelievable", 6)).toBe("unbel…");
    expect(cells(elide("日本語日本語", 6))).toBeLessThanOrEqual(6);
  });
  it("does not cut a joined emoji", () => expect(elide("👩‍💻👩‍💻👩‍💻", 3)).toBe("👩‍💻…"));
});

it("counts East Asian characters twice and combining marks not at all", () => {
  expect(cells("日本")).toBe(4);
  expect(cells("e\u0301")).toBe(1);
});
