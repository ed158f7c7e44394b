// The size of one node with its label.
import { changesSource, siblingInfoOf } from "../run/branches";
import type { Round, Token } from "../run/model";
import { cells, elide, visible } from "../words/label";
import type { LayoutNode, NodePosition } from "./geometry";
import { radiusOf, type Scale } from "./scale";

interface Label {
  readonly text: string;
  /** Width in cells of the monospaced font. */
  readonly cells: number;
}

const LONGEST_LABEL_CELLS = 10;
const labels = new Map<string, Label>();

/** Runs repeat their tokens, so each label is measured once. */
function labelOf(token: Token): Label {
  let label = labels.get(token.label);
  if (!label) {
    const text = elide(visible(token.label), LONGEST_LABEL_CELLS);
    label = { text, cells: cells(text) };
    labels.set(token.label, label);
  }
  return label;
}

/** Width on the spine, where the label is under the node. */
export function spineNodeWidth(token: Token, scale: Scale): number {
  const label = scale.detail === "full" ? labelOf(token).cells * scale.cell : 0;
  return Math.max(scale.columnMin, label + 2 * scale.labelPad, 2 * radiusOf(token, scale) + 4);
}

/** Width below the spine, where the label is at the right of the node. */
export function branchNodeWidth(token: Token, scale: Scale): number {
  if (scale.detail !== "full") return Math.max(scale.tailStep, 2 * radiusOf(token, scale) + 3);
  const label = labelOf(token).cells * scale.cell;
  return scale.radiusMax + radiusOf(token, scale) + scale.besideGap + label;
}

export function layoutNode(round: Round, token: Token, position: NodePosition, scale: Scale): LayoutNode {
  return {
    ...position,
    token,
    r: radiusOf(token, scale),
    label: scale.detail === "full" ? labelOf(token).text : null,
    siblingInfo: siblingInfoOf(round, token),
    sourceChanges: changesSource(round, token),
  };
}
