// The server's routes of kept runs.
import type { RunPage, StoredRunDetail } from "./generated";

/** What went wrong at the server, and what to do about it. */
export class ServerError extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

async function ask(method: string, path: string, body?: unknown): Promise<Response> {
  const sent =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await fetch(path, { method, ...sent }).catch(() => {
    throw new ServerError("The server cannot be reached.", "Try again once the page is connected.");
  });
  if (answer.ok) return answer;
  const words = (await answer.json().catch(() => null)) as { message?: unknown; hint?: unknown } | null;
  if (typeof words?.message !== "string") {
    throw new ServerError(`The server answered with status ${answer.status}.`, "Reload the page.");
  }
  throw new ServerError(words.message, typeof words.hint === "string" ? words.hint : "");
}

const runPath = (id: string): string => `/api/runs/${encodeURIComponent(id)}`;

/** A part of the list of kept runs, the newest first. Throws ServerError, as the functions below do. */
export async function fetchRuns(containing: string, after: string | null, limit: number): Promise<RunPage> {
  const query = new URLSearchParams({ limit: `${limit}`, ...(containing ? { containing } : {}) });
  if (after !== null) query.set("after", after);
  const page = (await (await ask("GET", `/api/runs?${query}`)).json()) as RunPage;
  if (!Array.isArray(page.runs)) throw new ServerError("The server keeps no runs.", "Start a newer one.");
  return page;
}

export const fetchRun = async (id: string): Promise<StoredRunDetail> =>
  (await (await ask("GET", runPath(id))).json()) as StoredRunDetail;

export const fetchTrace = async (id: string): Promise<string> =>
  (await ask("GET", `${runPath(id)}/trace`)).text();

export const nameRun = async (id: string, name: string | null): Promise<StoredRunDetail> =>
  (await (await ask("PATCH", runPath(id), { name })).json()) as StoredRunDetail;

export const removeRun = async (id: string): Promise<void> => void (await ask("DELETE", runPath(id)));
