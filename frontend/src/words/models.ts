// Models in words.
import type { ModelInfo, RowTime } from "../protocol/generated";
import { bytes, milliseconds } from "./format";

/** The name without its folder, `.gguf` and `-instruct`. */
export function modelTitle(model: ModelInfo): string {
  return (model.name.split("/").at(-1) ?? model.name).replace(/\.gguf$/i, "").replace(/-instruct$/i, "");
}

/** What is reported for weights whose number format is not known; older traces have the second. */
const NOT_REPORTED: ReadonlySet<string> = new Set(["unknown", "not told", ""]);

/** The number format of the weights; null if the target does not report it. */
export const quantisationOf = ({ quantisation }: ModelInfo): string | null =>
  NOT_REPORTED.has(quantisation) ? null : quantisation;

/** Name and number format: "SmolLM2-135M, Q4_1". */
export const modelWords = (model: ModelInfo): string =>
  [modelTitle(model), quantisationOf(model)].filter(Boolean).join(", ");

/** Number format and size: "Q4_1, 98.4 MB". */
export function weightsOf(model: ModelInfo): string {
  const quantisation = quantisationOf(model) ?? "unknown";
  return model.size_bytes === null ? quantisation : `${quantisation}, ${bytes(model.size_bytes)}`;
}

/** Why the model is on its runtime; a model of an older trace has no reason. */
export const choiceOf = (model: ModelInfo): string =>
  model.choice?.reason ?? "given by its name or a setting";

/** The passes that were timed to choose a runtime: "llama.cpp: 33 ms for 1 row, 96 ms for 4"; "none" without any. */
export function timesOf(model: ModelInfo): string {
  const times = model.choice?.times ?? [];
  const runtimes = [...new Set(times.map(({ runtime }) => runtime))];
  const tables = runtimes.map((runtime) => {
    const own = times.filter((time) => time.runtime === runtime);
    return `${runtime}: ${own.map(timed).join(", ")}`;
  });
  return tables.join("; ") || "none";
}

const timed = ({ rows, ms }: RowTime, at: number): string =>
  `${milliseconds(ms)} for ${rows}${at > 0 ? "" : rows === 1 ? " row" : " rows"}`;
