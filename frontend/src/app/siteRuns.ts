// The recorded runs of a static site: a list, and a compressed trace for each. `make site` writes them.

import { ServerError } from "../protocol/ask";
import type { StoredRun } from "../protocol/generated";
import { ROOT } from "./places";

const FOLDER = `${ROOT.path}runs/`;
const RELOAD = "Reload the page.";

async function fetched(name: string): Promise<Response> {
  const answer = await fetch(FOLDER + name).catch(() => null);
  if (!answer?.ok) throw new ServerError("The recorded runs of this site cannot be read.", RELOAD);
  return answer;
}

/** All runs, in the order of the site. Throws ServerError, as `siteTrace` does. */
export async function siteRuns(): Promise<readonly StoredRun[]> {
  const runs: unknown = await (await fetched("runs.json")).json().catch(() => null);
  if (!Array.isArray(runs)) throw new ServerError("The list of recorded runs is damaged.", RELOAD);
  return runs as StoredRun[];
}

/** Servers of files differ in whether the browser has already unpacked a file that ends with gz. */
async function text(packed: ArrayBuffer): Promise<string> {
  const [first, second] = new Uint8Array(packed);
  const isPacked = first === 0x1f && second === 0x8b;
  const stream = new Blob([packed]).stream();
  return new Response(isPacked ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).text();
}

export async function siteTrace(id: string): Promise<string> {
  const packed = await (await fetched(`${encodeURIComponent(id)}.jsonl.gz`)).arrayBuffer();
  return text(packed).catch(() => {
    throw new ServerError(`The recorded run ${id} is damaged.`, "Choose another one.");
  });
}

/** The trace that the live page plays first; null if the site has no runs. */
export async function firstRecording(): Promise<string | null> {
  try {
    const [first] = await siteRuns();
    return first ? await siteTrace(first.id) : null;
  } catch {
    return null;
  }
}
