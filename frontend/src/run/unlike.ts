// Whether the passes of a run and those of its baseline took as long as each other. Where they did not, their rates cannot be
// compared: something else used the processor during one of the two, for example the drawing of the page.
import type { Metrics } from "../protocol/generated";
import type { Run } from "./model";
import { judgedRounds } from "./verdict";

/**
 * Single runs on a machine that is not loaded differ by tens of percent, and passes become slower as the text grows. From
 * this factor on the time of a pass decides the verdict, not the drafts.
 */
export const UNLIKE = 1.5;
/** From this factor on the verdict stands, with a word on the load that is part of it. */
export const NOTED = 1.15;
/** Shorter differences are the clock's and the program's own, whatever the processor does. */
const LEAST_DIFFERENCE_MS = 2;
/** A median of fewer passes is chance. */
const LEAST_PASSES = 4;
/** From so many more tokens of context on, the longer text can be the cause. */
const LONGER_TOKENS = 512;

/** Passes over `rows` tokens that took clearly longer, or clearly shorter, than the baseline's. */
export interface UnlikePasses {
  readonly rows: number;
  /** The median in the run. */
  readonly runMs: number;
  /** For one row the baseline's time per token. For more, their measured time at the speed of the baseline. */
  readonly baselineMs: number;
  /** Tokens of context at the end of the run, if there were so many more than in the baseline's that they can be the cause. */
  readonly contextTokens: number | null;
}

const rowsOf = ({ round_drafted }: Metrics): number => round_drafted + 1;

const medianOf = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? 0) + (sorted[Math.floor(half)] ?? 0)) / 2;
};

/** The rounds whose passes were this run's own, with the number of rows that most of them had. */
function usualPasses(
  rounds: readonly Metrics[],
  known: (rows: number) => boolean,
): [number, number[]] | null {
  const byRows = new Map<number, number[]>();
  for (const round of rounds) {
    const times = byRows.get(rowsOf(round)) ?? [];
    times.push(round.verify_ms);
    byRows.set(rowsOf(round), times);
  }
  const usable = [...byRows].filter(([rows, times]) => times.length >= LEAST_PASSES && known(rows));
  return usable.toSorted(([, a], [, b]) => b.length - a.length)[0] ?? null;
}

/** Null where the two are alike, or where it is not known: too few rounds, a remote target, no table of pass times. */
export const unlikePasses = (run: Run, plainTps: number): UnlikePasses | null =>
  passesThatDiffer(run, plainTps, UNLIKE);

/** Passes that differ so much that a speedup is part load, and not so much that it says nothing. */
export const notedPasses = (run: Run, plainTps: number): UnlikePasses | null =>
  unlikePasses(run, plainTps) ? null : passesThatDiffer(run, plainTps, NOTED);

function passesThatDiffer(run: Run, plainTps: number, factor: number): UnlikePasses | null {
  const { started } = run;
  if (!started || started.remote || started.watched) return null;
  const rounds = judgedRounds(run).filter(({ runs }) => runs === 1);
  const plainMs = 1000 / plainTps;
  const single = usualPasses(
    rounds.filter((round) => rowsOf(round) === 1),
    () => true,
  );
  if (single) return compared(run, 1, single[1], plainMs, factor);
  const table = new Map((started.pass_times ?? []).map(({ tokens, ms }) => [tokens, ms]));
  const found = usualPasses(rounds, (rows) => table.has(rows));
  const fastestMs = table.get(1) ?? 0;
  if (!found || fastestMs <= 0) return null;
  const [rows, times] = found;
  // The table keeps the fastest pass ever measured. The baseline took longer than that by its own load.
  const expectedMs = (table.get(rows) ?? 0) * Math.max(1, plainMs / fastestMs);
  const unlike = compared(run, rows, times, expectedMs, factor);
  // Load slows down passes of one row most, so that a factor from them is too large for longer passes: a baseline that was
  // measured under the load of its run may only look slower. One from the server's start was not.
  const isSlower = unlike !== null && unlike.runMs > unlike.baselineMs;
  return isSlower || started.baseline?.kind === "startup" ? unlike : null;
}

function compared(
  run: Run,
  rows: number,
  times: readonly number[],
  baselineMs: number,
  factor: number,
): UnlikePasses | null {
  const runMs = medianOf(times);
  const [less, more] = runMs < baselineMs ? [runMs, baselineMs] : [baselineMs, runMs];
  if (more < factor * less || more - less < LEAST_DIFFERENCE_MS) return null;
  const context = (run.started?.prompt_tokens ?? 0) + (run.latest?.tokens ?? 0);
  const longer = context > (run.started?.baseline?.context_tokens ?? 0) + LONGER_TOKENS;
  return { rows, runMs, baselineMs, contextTokens: longer && runMs > baselineMs ? context : null };
}
