import { render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import type { Round, Token } from "../../run/model";
import { chain, roundOf } from "../../testing/runs";
import { bushy } from "../../testing/trees";
import { AttentionMatrix } from "./AttentionMatrix";

afterEach(() => document.body.replaceChildren());
const show = (round: Round, node: number) =>
  render(<AttentionMatrix round={round} token={round.drafted[node] as Token} />);

it("has a row for each node, with the columns that it attends to", () => {
  const tree = roundOf(0, bushy(6, 2, 1));
  show(tree, 3);
  expect(
    screen.getByRole("img", {
      name: /6 drafted tokens\. This one, node 4, attends to the text and nodes 1, 4\.$/,
    }),
  );
  const rows = [...document.querySelectorAll(".matrix-row")];
  expect(rows.map((row) => row.querySelectorAll(".matrix-attended").length)).toEqual([0, 0, 1, 1, 1, 1]);
  expect(rows.every((row) => row.querySelectorAll(".matrix-self, .matrix-text").length === 2)).toBe(true);
  expect(rows.map((row) => row.classList.contains("is-chosen")).indexOf(true)).toBe(3);
});

it("fits into its panel for the largest draft", () => {
  show(roundOf(0, bushy(63, 2, 1)), 0);
  expect(Number(document.querySelector(".matrix svg")?.getAttribute("width"))).toBeLessThanOrEqual(310);
});

it("is not shown for a chain", () => {
  show(roundOf(0, chain("aard+")), 1);
  expect(document.querySelector(".matrix")).toBeNull();
});
