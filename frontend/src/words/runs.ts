// Kept runs in words: titles, ends, and figures side by side.
import type { RunSummary, StoredRun } from "../protocol/generated";
import { END_WORDS } from "./ends";
import { bytes, fixed, milliseconds, percent, plural, whole } from "./format";
import { sourceOf } from "./sources";

/** The name of a run, else its prompt in one line. */
export const runTitle = ({ name, prompt }: Pick<StoredRun, "name" | "prompt">): string =>
  name ?? (prompt.replace(/\s+/g, " ").trim() || "an empty prompt");

/** Date and time in the reader's time zone, as numbers: 2026-01-31 12:00. */
export function moment(createdMs: number): string {
  const at = new Date(createdMs);
  const two = (value: number): string => `${value}`.padStart(2, "0");
  const date = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** Who drafted how deep; of a plain run, that nobody did; of a sweep, its best choice. */
export function draftWords({ k, drafter, draft, sweep, watched }: RunSummary): string {
  if (sweep) return `best of ${plural(sweep.choices, "choice")}: ${sweep.best}`;
  if (watched) return "watched: not known";
  if (k === 0) return "no draft";
  return `${drafter === "model" && draft ? draft : sourceOf(drafter).title}, k ${k}`;
}

export function endOf({ ended, sweep }: RunSummary): string {
  if (sweep) return "a sweep";
  return ended ? END_WORDS[ended] : "no end recorded";
}

/** The sentence below the title of the list. */
export const placeWords = (place: "server" | "browser" | "site"): string => PLACE_WORDS[place];

const PLACE_WORDS = {
  server:
    "The server keeps every run on its machine, with prompt and text. Start it with `--store none` to keep none.",
  browser:
    "This server keeps no runs. The last 20 runs of this browser are kept in it, with prompt and text.",
  site: "Recorded runs of real models. To record your own, install SpeculatoViz and start `speculatoviz serve`.",
} as const;

interface Compared {
  readonly name: string;
  readonly values: readonly [string, string];
  readonly differs: boolean;
}

const ROWS: readonly (readonly [string, (run: StoredRun) => string])[] = [
  ["target", ({ summary }) => summary.target],
  ["draft", ({ summary }) => draftWords(summary)],
  ["policy", ({ summary }) => summary.policy],
  ["rule", ({ summary }) => summary.rule],
  ["temperature", ({ summary }) => fixed(summary.sampling.temperature)],
  ["seed", ({ summary }) => `${summary.seed}`],
  ["exactness", ({ summary }) => summary.exactness],
  ["tokens", ({ summary }) => whole(summary.tokens)],
  ["rounds", ({ summary }) => whole(summary.rounds)],
  ["accepted", ({ summary }) => percent(summary.acceptance_rate)],
  ["tokens per round", ({ summary }) => fixed(summary.tokens_per_round)],
  ["tokens per second", ({ summary }) => fixed(summary.tps, 1)],
  ["plain, measured", ({ summary }) => fixed(summary.baseline_tps, 1)],
  ["speedup", ({ summary }) => summary.unlike ?? speedupWords(summary)],
  ["time to first token", ({ summary }) => milliseconds(summary.ttft_ms)],
  ["end", ({ summary }) => endOf(summary)],
  ["trace", ({ trace_bytes }) => bytes(trace_bytes)],
];

/** A run that drafted nothing is plain decoding: its rate relative to a baseline is no speedup. */
export function speedupWords({ speedup, drafted, sweep }: RunSummary): string {
  const isPlain = drafted === 0 && sweep === null;
  return speedup === null || isPlain ? fixed(null) : `${fixed(speedup)}×`;
}

/** Settings and figures of two runs, side by side. */
export const comparedRows = (a: StoredRun, b: StoredRun): Compared[] =>
  ROWS.map(([name, of]) => ({ name, values: [of(a), of(b)] as const, differs: of(a) !== of(b) }));

/** What the texts of two runs have in common. at: the position of their first difference, from 0; null without one. */
export function differenceWords(at: number | null, length: number): string {
  if (at === null) return `The texts are equal: ${plural(length, "character")}.`;
  return at === 0
    ? "The texts differ from their first character."
    : `The texts are equal for ${plural(at, "character")}.`;
}
