import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ProofScene } from "./ProofScene";

beforeEach(() => {
  render(<ProofScene />);
});
afterEach(cleanup);

const verdict = () => screen.getByRole("status").textContent ?? "";
const choose = (name: string) => fireEvent.click(screen.getByRole("radio", { name }));
const bar = (name: string) => screen.getByRole("slider", { name });

it("is exact for p and q of the visitor, after every token", () => {
  expect(verdict()).toMatch(/^Exact: .*e-1\d.* ways were added up\./);
  for (const context of ["at the start", "after a", "after c"]) {
    choose(context);
    fireEvent.keyDown(bar("Target p of b"), { key: "End" });
    fireEvent.keyDown(bar("Draft q of b"), { key: "Home" });
    expect(verdict()).toMatch(/^Exact: /);
  }
  choose("at the start");
  expect(bar("Target p of b").getAttribute("aria-valuenow")).toBe("98");
  choose("after b");
  expect(bar("Target p of b").getAttribute("aria-valuenow")).toBe("10");
});

it("shows each broken rule as not exact, with the text that differs most", () => {
  for (const broken of ["always accept", "p instead of p/q", "redraw from p"]) {
    choose(broken);
    expect(verdict()).toMatch(/^Not exact: “[abc]{3}” comes out with [\d.]+ % instead of [\d.]+ %\./);
    expect(document.querySelectorAll(".proof-gap").length).toBeGreaterThan(5);
    expect(screen.getByRole("img").getAttribute("aria-label")).toMatch(/\d+ differ from the target/);
  }
  choose("min(1, p/q)");
  expect(document.querySelectorAll(".proof-gap")).toHaveLength(0);
});
