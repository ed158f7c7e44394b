// Saves the trace of a kept run as a file.
import type { KeptRuns } from "../../app/kept";
import type { StoredRun } from "../../protocol/generated";
import { saveFile } from "../../ui/saveFile";

/** Throws ServerError. */
export async function saveTrace(kept: KeptRuns, { id }: StoredRun): Promise<void> {
  const text = await kept.trace(id);
  saveFile(`run-${id}.jsonl`, new Blob([text], { type: "application/jsonl" }));
}
