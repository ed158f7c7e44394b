// The words of the scene "Trees".
import {
  attended,
  type TreeCosts,
  type TreeNode,
  treeCost,
  treeSpeedup,
  treeTokens,
} from "../../theory/trees";
import { fixed, percent, plural } from "../format";
import type { SliderOf } from "./sliders";

export const LEAD =
  "A chain is lost at its first rejected token. A tree drafts several candidates for the same place: if one is rejected, its sibling is tested next. All branches are read in one pass.";

export const WHY = [
  "Each drafted token must see the text and its own branch, and nothing of the other branches. The attention mask ensures it: a row for each token, a filled square for each token that it attends to.",
  "A rejected token leaves a residual, and the next sibling is tested against that. So the text still follows the target exactly.",
  "Most nodes of a tree are rejected, and each is a row of the pass. A tree pays where rows are nearly free, as on a GPU with few users, and rarely on a CPU. Drag “Cost of a node” to see where the chain becomes faster.",
] as const;

export const SLIDERS: readonly SliderOf<TreeCosts>[] = [
  { field: "first", name: "First candidate", highest: 0.99, step: 0.01, help: "How often it is accepted" },
  {
    field: "further",
    name: "Further candidate",
    highest: 0.99,
    step: 0.01,
    help: "How often, after the ones before it failed",
  },
  { field: "growth", name: "Cost of a node g", highest: 0.6, step: 0.01, help: "Extra time of the pass" },
  { field: "draft", name: "Cost of a depth c", highest: 1, step: 0.01, help: "One step of the drafter" },
];

export const sliderWords = (field: keyof TreeCosts, value: number): string =>
  field === "first" || field === "further" ? percent(value) : `${fixed(value)} passes`;

/** The tree's arithmetic, and that of a chain of the same depth. */
export function treeWords(costs: TreeCosts, widths: readonly number[]): string {
  const chain = widths.map(() => 1);
  const part = (shape: readonly number[]) =>
    `${fixed(treeTokens(costs, shape))} tokens ÷ ${fixed(treeCost(costs, shape))} passes = ${fixed(treeSpeedup(costs, shape))}×`;
  return `Tree: ${part(widths)}. Chain of ${widths.length}: ${part(chain)}. Computed.`;
}

export function nodeWords(nodes: readonly TreeNode[], id: number): string {
  const ancestors = attended(nodes, id).length - 1;
  const hidden = nodes.length - ancestors - 1;
  const attends = `Token ${id + 1} attends to the text, to itself and to ${plural(ancestors, "ancestor")}`;
  return hidden === 0
    ? `${attends}: to all tokens of the tree.`
    : `${attends}, not to ${plural(hidden, "other token")}.`;
}
