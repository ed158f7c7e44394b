// Models in words.
import type { ModelInfo } from "../protocol/generated";
import { bytes } from "./format";

/** The name without its folder, `.gguf` and `-instruct`. */
export function modelTitle(model: ModelInfo): string {
  return (model.name.split("/").at(-1) ?? model.name).replace(/\.gguf$/i, "").replace(/-instruct$/i, "");
}

/** What is reported for weights whose number format is not known; older traces have the second. */
const NOT_REPORTED: ReadonlySet<string> = new Set(["unknown", "not told", ""]);

/** The number format of the weights; null if the target does not report it. */
export const quantisationOf = ({ quantisation }: ModelInfo): string | null =>
  NOT_REPORTED.has(quantisation) ? null : quantisation;

/** Number format and size: "Q4_1, 98.4 MB". */
export function weightsOf(model: ModelInfo): string {
  const quantisation = quantisationOf(model) ?? "unknown";
  return model.size_bytes === null ? quantisation : `${quantisation}, ${bytes(model.size_bytes)}`;
}
