// Saves the trace of a kept run as a file.
import type { KeptRuns } from "../../app/kept";
import type { StoredRun } from "../../protocol/generated";

/** Throws ServerError. */
export async function saveTrace(kept: KeptRuns, { id }: StoredRun): Promise<void> {
  const text = await kept.trace(id);
  const address = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `run-${id}.jsonl`;
  link.click();
  URL.revokeObjectURL(address);
}
