// A chain of nodes below the spine, cut into lines at the right margin.
import type { Round, Token } from "../run/model";
import { drawnWidth, edgeLength, isLabelled } from "./branchSize";
import type { Scale } from "./scale";

/** A wrapped line is indented only if this many pixels remain. */
const SHORTEST_LINE = 110;

export interface ChainLine {
  readonly nodes: { token: Token; left: number; right: number }[];
  /** x of the vertical edge at which the line begins. */
  readonly trunk: number;
}

interface Page {
  readonly round: Round;
  readonly width: number;
  readonly scale: Scale;
}

/** Lines of a chain that begins at `trunk`. */
export function wrapChain(chain: readonly Token[], trunk: number, page: Page): ChainLine[] {
  const { round, width, scale } = page;
  const end = width - scale.margin;
  const step = dotStep(chain, trunk, page);
  const nextTrunk = wrappedTrunk(chain, trunk, end, page);
  let line: ChainLine = { nodes: [], trunk };
  const lines = [line];
  let x = trunk;
  for (const token of chain) {
    const nodeWidth = isLabelled(token, round, scale) ? drawnWidth(token, round, scale) : step;
    const edge = line.nodes.length === 0 ? scale.indent : edgeLength(token, round, scale);
    let left = x + edge;
    if (left + nodeWidth > end + 1e-6 && line.nodes.length > 0) {
      line = { nodes: [], trunk: nextTrunk };
      lines.push(line);
      left = nextTrunk + scale.indent;
    }
    line.nodes.push({ token, left, right: left + nodeWidth });
    x = left + nodeWidth;
  }
  return lines;
}

/** Distance between dots. It shrinks to half before the chain wraps. */
function dotStep(chain: readonly Token[], trunk: number, { round, width, scale }: Page): number {
  const dots = chain.filter((token) => !isLabelled(token, round, scale));
  const labelled = chain.reduce((sum, token) => {
    return dots.includes(token)
      ? sum
      : sum + drawnWidth(token, round, scale) + edgeLength(token, round, scale);
  }, 0);
  const step = (width - scale.margin - trunk - labelled) / dots.length;
  return step >= scale.tailStep / 2 ? Math.min(scale.tailStep, step) : scale.tailStep;
}

/** Wrapped lines are indented where there is space: at the first trunk they would look like siblings. */
function wrappedTrunk(chain: readonly Token[], trunk: number, end: number, { round, scale }: Page): number {
  const indented = trunk + scale.indent;
  const widest = Math.max(...chain.map((token) => drawnWidth(token, round, scale)));
  return end - indented >= Math.max(SHORTEST_LINE, scale.indent + widest) ? indented : scale.margin;
}
