import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TreesScene } from "./TreesScene";

beforeEach(() => {
  render(<TreesScene />);
});
afterEach(cleanup);

const press = (name: string, key: string) => fireEvent.keyDown(screen.getByRole("slider", { name }), { key });
const verdict = () => screen.getByRole("status").textContent ?? "";
const picture = () => screen.getByRole("img").getAttribute("aria-label");
const speedups = () => [...verdict().matchAll(/= ([\d.]+)×/g)].map((found) => Number(found[1]));

it("compares the tree with a chain of the same depth", () => {
  expect(verdict()).toMatch(
    /^Tree: [\d.]+ tokens ÷ [\d.]+ passes = .*×\. Chain of 3: 2\.18 tokens ÷ 1\.33 passes = 1\.64×/,
  );
  press("Cost of a node g", "Home");
  const [free = 0, chain = 0] = speedups();
  expect(free).toBeGreaterThan(chain);
  press("Cost of a node g", "End");
  const [dear = 0, cheap = 0] = speedups();
  expect(dear).toBeLessThan(cheap);
});

it("is a chain with one candidate at every depth", () => {
  for (const depth of [1, 2, 3]) press(`Candidates at depth ${depth}`, "Home");
  expect(new Set(speedups()).size).toBe(1);
  expect(picture()).toMatch(/^A tree of 3 tokens/);
});

it("states what the chosen token attends to, also after the tree has become smaller", () => {
  press("Token", "End");
  expect(picture()).toBe(
    "A tree of 15 tokens and its attention mask. Token 15 attends to the text, to itself and to 2 ancestors, not to 12 other tokens.",
  );
  press("Candidates at depth 1", "Home");
  expect(picture()).toMatch(/^A tree of 5 tokens .* Token 5 attends/);
});
