import { render, screen, within } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import type { Shadow } from "../protocol/generated";
import { Shadows } from "./ShadowPanel";
import { shadowNote, shadowRows } from "./shadow";

const score = (drafter: string, mean_matched: number, best_share: number, mean_draft_ms: number | null) => ({
  drafter,
  rounds: 4,
  mean_drafted: 4,
  mean_matched,
  best_share,
  mean_draft_ms,
});
const SHADOW: Shadow = {
  run: "r",
  seq: 9,
  t_ms: 1,
  type: "shadow",
  round: 3,
  guesses: [
    { drafter: "model", tokens: [" the", " cat", " sat"], drafted: 9, matched: 2 },
    { drafter: "ngram", tokens: [], drafted: 0, matched: 0 },
  ],
  scores: [score("oracle", 2.5, 1, null), score("model", 2, 0.75, null), score("ngram", 0.5, 0.25, 0.2)],
};

afterEach(() => document.body.replaceChildren());

describe("the scores of shadow drafters", () => {
  it("end with the oracle, and have the time of the drafter in use from the run", () => {
    const rows = shadowRows(SHADOW, ["model"], 31);
    expect(rows.map(({ drafter, kind, draftMs }) => [drafter, kind, draftMs])).toEqual([
      ["model", "used", 31],
      ["ngram", "shadow", 0.2],
      ["oracle", "oracle", null],
    ]);
    expect(rows.map(({ share }) => share)).toEqual([0.8, 0.2, 1]);
  });

  it("have no drafter in use if the target decodes alone", () => {
    expect(shadowRows(SHADOW, [], 31).map(({ kind }) => kind)).toEqual(["shadow", "shadow", "oracle"]);
  });

  it("have no time of their own where the run uses several drafters", () => {
    const rows = shadowRows(SHADOW, ["model", "ngram"], 31);
    expect(rows.map(({ kind, draftMs }) => [kind, draftMs])).toEqual([
      ["used", null],
      ["used", 0.2],
      ["oracle", null],
    ]);
  });

  it("explain what a draft is compared with if tokens are drawn", () => {
    expect(shadowNote(0)).toMatch(/not used, and not timed in the run\.$/);
    expect(shadowNote(0.7)).toMatch(
      /At temperature 0\.7 a draft is compared with the tokens that this run drew/,
    );
  });
});

describe("the panel of shadow drafters", () => {
  const show = () => render(<Shadows shadow={SHADOW} temperature={0} used={["model"]} usedMs={31} />);

  it("is a table with a row for each drafter", () => {
    show();
    const table = within(screen.getByRole("table", { name: "Scores of the drafters" }));
    const rows = table.getAllByRole("row").map((row) => row.textContent);
    expect(rows[1]).toMatch(/draft model in use2\.00.*75 %31 ms$/);
    expect(rows[2]).toMatch(/prompt lookup 0\.50.*25 %0\.2 ms$/);
    expect(rows[3]).toMatch(/oracle2\.50$/);
  });

  it("marks the matched tokens of a draft, in words too", () => {
    show();
    const [draft, none] = screen.getAllByRole("listitem");
    expect(draft?.textContent).toMatch(/draft model: matched 2 of 3\./);
    const marked = [...(draft?.querySelectorAll("code") ?? [])].map((token) => token.className);
    expect(marked).toEqual(["is-matched", "is-matched", "is-missed"]);
    expect(draft?.textContent).toMatch(/\+ 6 in branches$/);
    expect(none?.textContent).toMatch(/no draft/);
  });
});
