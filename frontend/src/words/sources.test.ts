import { describe, expect, it } from "vitest";
import { sourceOf } from "./sources";

const SOURCES = [
  "model",
  "ngram",
  "suffix",
  "lookahead",
  "medusa",
  "eagle",
  "selfspec",
  "model+suffix",
  "multi",
  "hybrid",
];

describe("who drafted a token", () => {
  it("has a letter of its own, each", () => {
    expect(new Set(SOURCES.map((source) => sourceOf(source).letter)).size).toBe(SOURCES.length);
  });

  it("is a blend where several distributions were blended into one", () => {
    const blend = sourceOf("eagle+suffix");
    expect(blend).toEqual({
      ...sourceOf("mixture"),
      source: "eagle+suffix",
      title: "EAGLE head and suffix automaton",
    });
  });

  it("is named by what is not known", () => {
    expect(sourceOf("oracle")).toEqual({
      source: "oracle",
      letter: "O",
      title: "oracle",
      colour: "var(--source-other)",
    });
  });
});
