// The names of models.
import type { ModelInfo } from "../protocol/generated";

/** "Qwen2.5-Coder 1.5B" and the like stay as they are; only a path or file ending is dropped. */
export function modelTitle(model: ModelInfo): string {
  return (model.name.split("/").at(-1) ?? model.name).replace(/\.gguf$/i, "").replace(/-instruct$/i, "");
}
