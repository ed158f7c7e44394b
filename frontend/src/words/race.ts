// A race in words.
import type { Run } from "../run/model";
import { hasTargets, isPlain, type Lane, type LaneSettings, type Result } from "../run/race";
import { emittedCount } from "../run/selectors";
import { fixed, milliseconds, plural } from "./format";
import { modelWords } from "./models";
import { sourceOf } from "./sources";
import { waitingFor } from "./waiting";

export const RACE_LEAD =
  "The server decodes the same prompt under each setting, one run after the other, so that they do not slow each other down. The runs are then shown side by side on one clock.";
export const CLOCK_NOTE =
  "The clock counts the measured time of the rounds. The time for the prompt is not part of it, because later runs find it in the cache.";

/** "plain", "auto", "EAGLE head, K 4", "plain on smollm2-135m-instruct:Q8_0". */
export function laneName(settings: LaneSettings): string {
  const { policy, drafter, k, target } = settings;
  const on = target === undefined ? "" : ` on ${target.split("/").at(-1)}`;
  if (isPlain(settings)) return `plain${on}`;
  if (policy === "auto") return `auto${on}`;
  return `${drafter === null ? "drafter" : sourceOf(drafter).title}, K ${k}${on}`;
}

/** "run 2 of 6: auto, 64 tokens". */
export function raceProgress(name: string, done: number, turns: number, run: Run): string {
  return `run ${done + 1} of ${turns}: ${name}, ${waitingFor(run) ?? plural(emittedCount(run), "token")}`;
}

const ORDINALS = ["1st", "2nd", "3rd", "4th"];
export const placeWords = (place: number): string => ORDINALS[place - 1] ?? `${place}th`;

/** "3.12 s", and with several runs "3.12 s, from 3.05 to 3.31 s". */
export function timeWords({ ms, allMs, leastMs, mostMs }: Lane): string {
  if (allMs.length < 2) return milliseconds(ms);
  return `${milliseconds(ms)}, from ${milliseconds(leastMs)} to ${milliseconds(mostMs)}`;
}

/** Where a text leaves that of the first lane of its target. */
export function differenceWords({ difference, reference }: Result, at: number): string {
  if (at === reference) return "";
  if (difference === null) return `The same tokens as lane ${reference + 1}.`;
  return `Differs from lane ${reference + 1} from token ${difference + 1} on.`;
}

/** How long its target took to load; empty if it was loaded already. */
export const loadingNote = ({ loadingS }: Lane): string =>
  loadingS === 0
    ? ""
    : `Its target took ${milliseconds(1000 * loadingS)} to load and measure, before the run.`;

/** Of a lane without a plain lane of its target. `several`: whether the lanes have different targets. */
export const withoutPlain = ({ lane, speedup }: Result, several: boolean): string =>
  several && speedup === null && !isPlain(lane.settings)
    ? "No lane decodes plainly with its target, so there is no speedup."
    : "";

/** "SmolLM2-135M, Q4_1"; empty before the run has started. */
export const targetOf = ({ run }: Lane): string => (run.started ? modelWords(run.started.target_model) : "");

export const TARGETS_NOTE =
  "The lanes have different targets. Their texts differ, and if their tokenizers differ, a token is not the same amount of text. So texts are compared only between lanes of one target, and “against plain” means plain decoding with the lane's own target.";

const lanesOf = (numbers: readonly number[]): string => numbers.map((at) => `lane ${at + 1}`).join(" and ");

/** Whether the order of a lane and others may be chance. */
export function overlapWords({ overlaps }: Result): string {
  if (overlaps.length === 0) return "";
  return `Its range overlaps with that of ${lanesOf(overlaps)}: their order may be chance.`;
}

/** The result in one sentence: who was first, and how it compares with plain decoding. */
export function summaryOf(results: readonly Result[]): string {
  const first = results.filter(({ place }) => place === 1);
  const [winner] = first;
  if (!winner) return "";
  const numbers = first.map((result) => results.indexOf(result));
  const runs = winner.lane.allMs.length;
  const median = runs > 1 ? `, the median of ${runs} runs` : "";
  const who = first.length > 1 ? `${lanesOf(numbers)} finish together` : `${lanesOf(numbers)} finishes first`;
  const name = first.length > 1 ? "" : ` (${laneName(winner.lane.settings)})`;
  const own = hasTargets(results.map(({ lane }) => lane)) ? " with its own target" : "";
  const speedup =
    winner.speedup === null ? "" : `, ${fixed(winner.speedup)} times the speed of plain decoding${own}`;
  const chance = winner.overlaps.length > 0 ? " Ranges overlap, so the order may be chance." : "";
  const sentence = `${who}${name}: ${milliseconds(winner.lane.ms)}${median}${speedup}.${chance}`;
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

/** Texts of different lengths take different times, whatever the settings. Empty if all have the same length. */
export function lengthsNote(results: readonly Result[]): string {
  const counts = new Set(results.map(({ lane }) => lane.tokens.length));
  return counts.size > 1 ? "The texts have different lengths. Compare tokens per second, not times." : "";
}
