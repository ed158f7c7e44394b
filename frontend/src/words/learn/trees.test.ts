import { expect, it } from "vitest";
import { treeOf } from "../../theory/trees";
import { nodeWords } from "./trees";

it("states what a token attends to, for any number of others", () => {
  const words = (widths: readonly number[], id: number) => nodeWords(treeOf(widths), id);
  expect(words([1, 1], 1)).toBe(
    "Token 2 attends to the text, to itself and to 1 ancestor: to all tokens of the tree.",
  );
  expect(words([2], 1)).toBe(
    "Token 2 attends to the text, to itself and to 0 ancestors, not to 1 other token.",
  );
  expect(words([3], 0)).toMatch(/, not to 2 other tokens\.$/);
});
