// The text of a run as blocks of lines of tokens. A growing text changes only its last block.
import type { Round, Run, Token } from "./model";
import { failedAlternatives, undecidedPath } from "./selectors";

export type Line = readonly Token[];

/** Successive lines. */
export interface TextBlock {
  readonly lines: readonly Line[];
  /** The rounds of its first and last token. */
  readonly firstRound: number;
  readonly lastRound: number;
}

export interface TextBlocks {
  readonly blocks: readonly TextBlock[];
  /** What the blocks are made of, for the next call. */
  readonly rounds: readonly Round[];
  readonly showRejected: boolean;
  /** For each block but the last: where the one after it begins. */
  readonly ends: readonly Place[];
}

/** A place in the text: the number of rounds before it, and the number of tokens of the next round before it, which is above 0. */
interface Place {
  readonly rounds: number;
  readonly tokens: number;
}

/** A block ends with the first line that gives it so many tokens. */
const LEAST_TOKENS = 96;

/** The tokens that a round adds to the text. With `showRejected`, those that failed their test come before their replacement. */
function tokensOf(round: Round, showRejected: boolean): readonly Token[] {
  if (!showRejected) return round.emitted;
  return round.emitted.flatMap((token) => [...failedAlternatives(round, token), token]);
}

/** The number of rounds at the beginning that are the same objects in both. */
function sameRounds(a: readonly Round[], b: readonly Round[]): number {
  const most = Math.min(a.length, b.length);
  let count = 0;
  while (count < most && a[count] === b[count]) count += 1;
  return count;
}

/** The blocks of `before` that are whole and consist of rounds that did not change. */
function keptBlocks(run: Run, showRejected: boolean, before: TextBlocks | null): Place[] {
  if (before === null || before.showRejected !== showRejected) return [];
  const same = sameRounds(before.rounds, run.rounds);
  const changed = before.ends.findIndex(({ rounds }) => rounds >= same);
  return before.ends.slice(0, changed < 0 ? before.ends.length : changed);
}

/** Lines while they are filled. */
class OpenBlock {
  readonly lines: Token[][] = [];
  count = 0;
  lineEnded = true;

  add(token: Token): void {
    if (this.lineEnded) this.lines.push([]);
    this.lines.at(-1)?.push(token);
    this.count += 1;
    this.lineEnded = token.text.endsWith("\n");
  }

  get isWhole(): boolean {
    return this.lineEnded && this.count >= LEAST_TOKENS;
  }

  closed(): TextBlock {
    const { lines } = this;
    return {
      lines,
      firstRound: lines[0]?.[0]?.round ?? 0,
      lastRound: lines.at(-1)?.at(-1)?.round ?? 0,
    };
  }
}

/**
 * A token that ends a line ends its line here. Undecided tokens follow the committed ones. `before`: the result for an
 * earlier state of the run, whose unchanged blocks stay the same objects.
 */
export function textBlocks(run: Run, showRejected: boolean, before: TextBlocks | null = null): TextBlocks {
  const ends = keptBlocks(run, showRejected, before);
  const blocks = (before?.blocks ?? []).slice(0, ends.length);
  const start = ends.at(-1) ?? { rounds: 0, tokens: 0 };
  let open = new OpenBlock();
  for (let at = start.rounds; at < run.rounds.length; at += 1) {
    const tokens = tokensOf(run.rounds[at] as Round, showRejected);
    for (let within = at === start.rounds ? start.tokens : 0; within < tokens.length; within += 1) {
      open.add(tokens[within] as Token);
      if (!open.isWhole) continue;
      blocks.push(open.closed());
      ends.push({ rounds: at, tokens: within + 1 });
      open = new OpenBlock();
    }
  }
  for (const token of undecidedPath(run)) open.add(token);
  if (open.count > 0) blocks.push(open.closed());
  return { blocks, rounds: run.rounds, showRejected, ends };
}

/** Whether a token may be in a block, by its key. */
export const mayContain = ({ firstRound, lastRound }: TextBlock, key: string): boolean => {
  const round = Number.parseInt(key, 10);
  return round >= firstRound && round <= lastRound;
};
