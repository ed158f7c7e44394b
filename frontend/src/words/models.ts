// The names of models.
import type { ModelInfo } from "../protocol/generated";

/** The name without its folder, `.gguf` and `-instruct`. */
export function modelTitle(model: ModelInfo): string {
  return (model.name.split("/").at(-1) ?? model.name).replace(/\.gguf$/i, "").replace(/-instruct$/i, "");
}
