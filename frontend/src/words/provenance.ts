// The origin of figures in one line: which models, with which settings, on which machine, when.
import type { Started } from "../protocol/generated";
import type { RecordingHeader } from "../run/recording";
import { day } from "./format";
import { modelTitle, quantisationOf } from "./models";
import { runSettings } from "./settings";

const PROGRAM = "SpeculatoViz";

/** "SpeculatoViz 0.1.0" */
const programOf = (header: Partial<RecordingHeader> | null): string =>
  header?.speculatoviz ? `${PROGRAM} ${header.speculatoviz}` : PROGRAM;

/** The settings that a run began with: "drafter b, depth K 3, temperature 0.7, rule token, seed 2". */
export function settingsLine(started: Started): string {
  return runSettings({ started, updates: [] })
    .filter(({ name }) => name !== "target")
    .map(({ name, value }) => `${name} ${value}`)
    .join(", ");
}

/** header: of the recording or of the kept run; null for a run on the page. */
export function runProvenance(started: Started | null, header: Partial<RecordingHeader> | null): string {
  if (!started) return PROGRAM;
  const { target_model: target, run } = started;
  const weights = quantisationOf(target);
  const parts = [
    programOf(header),
    `${modelTitle(target)}${weights ? ` (${weights}, ${target.runtime})` : ""}: ${settingsLine(started)}`,
    header?.machine || target.computes_on,
    header?.created ? `recorded ${day(header.created)}` : "",
    run ? `run ${run}` : "",
  ];
  return parts.filter(Boolean).join(" · ");
}

/** Of a picture of Learn, which shows formulas, and the recorded run where it is solid. */
export const learnProvenance = (scene: string, recorded: string): string =>
  `${PROGRAM}, Learn: ${scene}. Hatched is computed from the formulas of the scene, solid is measured${recorded === "" ? "" : `: ${recorded}`}`;

/** Of runs that were measured in turn. targets: of all runs, if they have different ones. */
export const measuredTogether = (
  what: string,
  started: Started | null,
  targets: readonly string[] = [],
): string =>
  started
    ? `${PROGRAM}, ${what} on one prompt · ${targets.join(" and ") || modelTitle(started.target_model)}, ${started.target_model.computes_on} · temperature ${started.sampling.temperature}, at most ${started.max_tokens} tokens, seed ${started.seed}`
    : `${PROGRAM}, ${what}`;

export const savedOn = (provenance: string, today: string): string => `${provenance} · saved ${day(today)}`;
