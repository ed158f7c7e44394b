import { describe, expect, it } from "vitest";
import { isGiven, marksSources, sourceOf } from "./sources";

const SOURCES = [
  "model",
  "ngram",
  "suffix",
  "lookahead",
  "medusa",
  "eagle",
  "eagle3",
  "p-eagle",
  "dflash",
  "mtp",
  "selfspec",
  "model+suffix",
  "multi",
  "hybrid",
  "grammar",
  "prediction",
];

describe("the drafter of a token", () => {
  it("has a letter that no other has", () => {
    expect(new Set(SOURCES.map((source) => sourceOf(source).letter)).size).toBe(SOURCES.length);
  });

  it("is marked where several drafted, and where a grammar or a prediction did", () => {
    expect(marksSources(["model"])).toBe(false);
    expect(marksSources(["model", "suffix"])).toBe(true);
    expect(["grammar", "prediction"].map((source) => marksSources([source]))).toEqual([true, true]);
    expect(SOURCES.filter(isGiven)).toEqual(["grammar", "prediction"]);
    expect(sourceOf("grammar").colour).toBe("var(--source-grammar)");
  });

  it("is a mixture if several distributions were mixed", () => {
    const mixture = sourceOf("eagle+suffix");
    expect(mixture).toEqual({
      ...sourceOf("mixture"),
      source: "eagle+suffix",
      title: "EAGLE head and suffix automaton",
    });
  });

  it("keeps its name if the page does not know it", () => {
    expect(sourceOf("oracle")).toEqual({
      source: "oracle",
      letter: "O",
      title: "oracle",
      colour: "var(--source-other)",
    });
  });
});
