// The runs that are kept: by the server, or, if it keeps none, the last ones in this browser; those of a static site.

import { ServerError } from "../protocol/ask";
import type { AcceptanceAnatomy, RunPage, StoredRun } from "../protocol/generated";
import { fetchAcceptance, fetchRun, fetchRuns, fetchTrace, nameRun, removeRun } from "../protocol/keptRuns";
import type { Playback } from "../run/playback";
import { traceText } from "../run/recording";
import { summaryOf } from "../run/summary";
import type { UnlikePasses } from "../run/unlike";
import { ROOT } from "./places";
import { siteRuns, siteTrace } from "./siteRuns";

/** Functions throw ServerError, with what happened and what to do. */
export interface KeptRuns {
  readonly place: "server" | "browser" | "site";
  page(containing: string, after: string | null): Promise<Pick<RunPage, "runs" | "after">>;
  run(id: string): Promise<StoredRun>;
  /** The text of the run's trace. */
  trace(id: string): Promise<string>;
  rename(id: string, name: string | null): Promise<StoredRun>;
  remove(id: string): Promise<void>;
  /** Acceptance over the newest runs that contain a text. */
  acceptance(containing: string): Promise<AcceptanceAnatomy>;
}

const PAGE_LENGTH = 50;

const serverRuns: KeptRuns = {
  place: "server",
  page: (containing, after) => fetchRuns(containing, after, PAGE_LENGTH),
  run: fetchRun,
  trace: fetchTrace,
  rename: nameRun,
  remove: removeRun,
  acceptance: fetchAcceptance,
};

const missing = (id: string): ServerError =>
  new ServerError(`There is no run ${id} in this browser.`, "Runs lists those that are kept.");

const found = <T>(id: string, run: T | undefined): T => {
  if (run === undefined) throw missing(id);
  return run;
};

/** Storage that is forbidden, or full, keeps nothing. */
const inWords = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ServerError) throw error;
    throw new ServerError(
      "This browser keeps no runs for this page.",
      "Allow it to store data of this site.",
    );
  }
};

const stored = () => import("./browserRuns");

const matches = (containing: string) => {
  const wanted = containing.toLowerCase();
  return ({ id, name, prompt, summary }: StoredRun): boolean =>
    [id, name ?? "", prompt, summary.target, summary.drafter].some((text) =>
      text.toLowerCase().includes(wanted),
    );
};

/** How many traces of a site are read for one breakdown. */
const MOST_TRACES = 20;

async function anatomyOfTraces<T extends StoredRun>(
  runs: readonly T[],
  traceOf: (run: T) => string,
): Promise<AcceptanceAnatomy> {
  const [{ anatomyOf, tokensTested }, { openTrace }] = await Promise.all([
    import("../run/anatomy"),
    import("../run/recording"),
  ]);
  const read = runs.flatMap((run) => {
    const { recording } = openTrace(traceOf(run));
    if (!recording) return [];
    const verdicts = recording.events.filter((event) => event.type === "verify_result");
    return [{ prompt: run.prompt, tokens: tokensTested(run.id, verdicts) }];
  });
  return anatomyOf(read, runs.length - read.length);
}

const browserRuns: KeptRuns = {
  place: "browser",
  page: (containing) =>
    inWords(
      stored().then(async ({ allRuns }) => ({
        runs: (await allRuns()).filter(matches(containing)),
        after: null,
      })),
    ),
  run: (id) => inWords(stored().then(async ({ oneRun }) => found(id, await oneRun(id)))),
  trace: (id) => inWords(stored().then(async ({ oneRun }) => found(id, await oneRun(id)).trace)),
  rename: (id, name) =>
    inWords(stored().then(async ({ renameRun }) => found(id, await renameRun(id, name?.trim() || null)))),
  remove: (id) => inWords(stored().then(({ deleteRun }) => deleteRun(id))),
  acceptance: (containing) =>
    inWords(
      stored().then(async ({ allRuns }) => {
        const runs = (await allRuns()).filter(matches(containing));
        return anatomyOfTraces(runs, (run) => run.trace);
      }),
    ),
};

const unchanging = async (): Promise<never> => {
  throw new ServerError("The runs of this site cannot be changed.", "Open a trace file of your own instead.");
};

const recordedRuns: KeptRuns = {
  place: "site",
  page: async (containing) => {
    const runs = (await siteRuns()).toSorted((a, b) => b.created_ms - a.created_ms);
    return { runs: runs.filter(matches(containing)), after: null };
  },
  run: async (id) => {
    const run = (await siteRuns()).find((one) => one.id === id);
    if (!run) throw new ServerError(`This site has no run ${id}.`, "Runs lists those that it has.");
    return run;
  },
  trace: siteTrace,
  rename: unchanging,
  remove: unchanging,
  acceptance: async (containing) => {
    const runs = (await siteRuns()).filter(matches(containing)).slice(0, MOST_TRACES);
    const traces = new Map<string, string>();
    for (const { id } of runs) traces.set(id, await siteTrace(id));
    return anatomyOfTraces(runs, ({ id }) => traces.get(id) ?? "");
  },
};

/** Where runs of this page are kept. */
export async function keptRuns(): Promise<KeptRuns> {
  if (ROOT.kind === "files") return recordedRuns;
  try {
    return (await fetchRuns("", null, 1)).kept ? serverRuns : browserRuns;
  } catch {
    return browserRuns;
  }
}

/**
 * Keeps a finished live run in the browser if the server keeps none. `now`: milliseconds since 1970. `inWords`: why no
 * speedup is claimed.
 */
export async function keepInBrowser(
  play: Playback,
  now: number,
  inWords: (unlike: UnlikePasses) => string,
): Promise<void> {
  const { full } = play;
  const summary = summaryOf(full, inWords);
  if (!full.started || full.id === null || !summary) return;
  if ((await keptRuns()).place !== "browser") return;
  const header = { created: new Date(now).toISOString(), machine: "", speculatoviz: "" };
  const trace = traceText(header, play.events.toArray());
  const { keepRun } = await stored();
  const { id, started } = full;
  const run = { id, created_ms: now, name: null, prompt: started.prompt, summary, trace_bytes: trace.length };
  await keepRun({ ...run, header, trace }).catch(() => undefined);
}
