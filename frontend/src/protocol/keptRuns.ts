// The server's routes of kept runs.
import { ask, ServerError } from "./ask";
import type { AcceptanceAnatomy, RunPage, StoredRunDetail, WhatIfAnswer, WhatIfQuestion } from "./generated";

const runPath = (id: string): string => `/api/runs/${encodeURIComponent(id)}`;

/** A part of the list of kept runs, the newest first. Throws ServerError, as the functions below do. */
export async function fetchRuns(containing: string, after: string | null, limit: number): Promise<RunPage> {
  const query = new URLSearchParams({ limit: `${limit}`, ...(containing ? { containing } : {}) });
  if (after !== null) query.set("after", after);
  const page = (await (await ask("GET", `/api/runs?${query}`)).json()) as RunPage;
  if (!Array.isArray(page.runs)) throw new ServerError("The server keeps no runs.", "Start a newer one.");
  return page;
}

/** Acceptance over the newest runs that contain a text. */
export async function fetchAcceptance(containing: string): Promise<AcceptanceAnatomy> {
  const query = new URLSearchParams(containing ? { containing } : {});
  return (await (await ask("GET", `/api/runs/acceptance?${query}`)).json()) as AcceptanceAnatomy;
}

export const fetchRun = async (id: string): Promise<StoredRunDetail> =>
  (await (await ask("GET", runPath(id))).json()) as StoredRunDetail;

export const fetchTrace = async (id: string): Promise<string> =>
  (await ask("GET", `${runPath(id)}/trace`)).text();

export const nameRun = async (id: string, name: string | null): Promise<StoredRunDetail> =>
  (await (await ask("PATCH", runPath(id), { name })).json()) as StoredRunDetail;

export const removeRun = async (id: string): Promise<void> => void (await ask("DELETE", runPath(id)));

/** What a kept run with a record would have been with other choices. */
export const askWhatIf = async (id: string, question: WhatIfQuestion): Promise<WhatIfAnswer> =>
  (await (await ask("POST", `${runPath(id)}/whatif`, question)).json()) as WhatIfAnswer;
