// One line: the tokens that a node attends to in the pass that verifies its draft.
import type { Attention } from "../run/branches";
import { visible } from "./label";

const counted = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

export function attentionWords({ token, path, hidden }: Attention): string {
  const name = visible(token.label);
  if (token.node === null) {
    const before = path.at(-1);
    const after = before ? visible(before.label) : "the last committed token";
    return `${name} was not in this pass: it was drawn from the row after ${after}.`;
  }
  const before = path.length - 1;
  const attended =
    before === 0
      ? "the whole text and itself"
      : `the whole text, ${counted(before, "drafted token", "drafted tokens")} before it, and itself`;
  return `${name} attends to ${attended}; ${counted(hidden, "other node is", "other nodes are")} hidden from it.`;
}
