// One line on what a node sees in the pass that verifies its draft.
import type { Attention } from "../run/branches";
import { visible } from "./label";

const counted = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

export function attentionWords({ token, path, hidden }: Attention): string {
  const name = visible(token.label);
  if (token.node === null) {
    const row = path.at(-1);
    const behind = row ? `the row behind ${visible(row.label)}` : "the row behind the last committed token";
    return `${name} was not in this pass: it comes from ${behind}.`;
  }
  const before = path.length - 1;
  const seen =
    before === 0
      ? "the whole text and itself"
      : `the whole text, ${counted(before, "drafted token", "drafted tokens")} before it, and itself`;
  return `${name} attends to ${seen}; ${counted(hidden, "other node is", "other nodes are")} hidden from it.`;
}
