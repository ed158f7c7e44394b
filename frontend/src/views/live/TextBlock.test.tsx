import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import type { Token } from "../../run/model";
import { emptyRun, reduceAll } from "../../run/reducer";
import { roundOf, started } from "../../testing/messages";
import { LineText } from "./TextBlock";

afterEach(cleanup);

const marks = { hovered: null, selected: null, tabStop: "0:0" };

function tokens(words: readonly string[], changes: Partial<Token> = {}): Token[] {
  const run = reduceAll(emptyRun, [started(), ...roundOf(0, words, words.length, "!")]);
  return (run.rounds[0]?.emitted ?? []).map((token) => ({ ...token, ...changes }));
}

describe("LineText", () => {
  it("does not change the text: white space is marked by style, not by characters", () => {
    const { container } = render(<LineText tokens={tokens(["  a", "\tb\n"])} {...marks} />);
    expect(container.textContent).toBe("  a\tb\n!");
    expect(container.querySelectorAll(".mark-newline, .mark-tab, .mark-spaces")).toHaveLength(3);
  });

  it("shows the bytes of a token that is only part of a character", () => {
    render(<LineText tokens={tokens(["x"], { label: "\\xf0\\x9f", text: "" }).slice(0, 1)} {...marks} />);
    expect(screen.getByRole("option").textContent).toBe("\\xf0\\x9f");
  });

  it("names each token and its status, and has one tab stop", () => {
    render(<LineText tokens={tokens(["a", "\n"])} {...marks} />);
    const options = screen.getAllByRole("option");
    expect(options.map((option) => option.getAttribute("aria-label"))).toEqual([
      "a, accepted",
      "line break, accepted",
      "!, bonus",
    ]);
    expect(options.map((option) => option.tabIndex)).toEqual([0, -1, -1]);
  });

  it("marks accepted tokens that a grammar forced or a prediction held, and names that", () => {
    const sources = ["grammar", "model"];
    const line = tokens(["a", "b"]).slice(0, 2);
    const drafted = line.map((token, at) => ({ ...token, draft: { source: sources[at] } as Token["draft"] }));
    const { container } = render(<LineText tokens={drafted} {...marks} />);
    expect(
      [...container.querySelectorAll("[data-given]")].map((token) => token.getAttribute("aria-label")),
    ).toEqual(["a, accepted, forced by the grammar"]);
  });

  it("shows drafted and rejected tokens without making them part of the text's tokens", () => {
    const line = tokens(["a"], { status: "rejected" }).slice(0, 1);
    const { container } = render(<LineText tokens={line} {...marks} />);
    expect(screen.queryAllByRole("option")).toHaveLength(0);
    expect(container.querySelector("[aria-hidden][data-status=rejected]")?.textContent).toBe("a");
  });
});
