// The last runs of this browser, for a server that keeps none. Loaded when it is needed.
import { type DBSchema, openDB } from "idb";
import type { StoredRun } from "../protocol/generated";
import type { RecordingHeader } from "../run/recording";

/** How many runs a browser keeps. */
export const MOST_RUNS = 20;

export interface BrowserRun extends StoredRun {
  readonly header: RecordingHeader;
  /** The text of the trace. */
  readonly trace: string;
}

interface Runs extends DBSchema {
  runs: { key: string; value: BrowserRun; indexes: { created: number } };
}

const database = () =>
  openDB<Runs>("speculatoviz", 1, {
    upgrade(db) {
      db.createObjectStore("runs", { keyPath: "id" }).createIndex("created", "created_ms");
    },
  });

async function within<T>(work: (db: Awaited<ReturnType<typeof database>>) => Promise<T>): Promise<T> {
  const db = await database();
  try {
    return await work(db);
  } finally {
    db.close();
  }
}

/** Keeps a run. The oldest ones without a name make room. */
export const keepRun = (run: BrowserRun): Promise<void> =>
  within(async (db) => {
    const change = db.transaction("runs", "readwrite");
    await change.store.put(run);
    let surplus = (await change.store.count()) - MOST_RUNS;
    // One run at a time: all of them take some 50 MB.
    let oldest = surplus > 0 ? await change.store.index("created").openCursor() : null;
    while (oldest && surplus > 0) {
      if (oldest.value.name === null && oldest.value.id !== run.id) {
        await oldest.delete();
        surplus -= 1;
      }
      oldest = await oldest.continue();
    }
    await change.done;
  });

/** All runs, the newest first. */
export const allRuns = (): Promise<BrowserRun[]> =>
  within(async (db) => (await db.getAllFromIndex("runs", "created")).reverse());

export const oneRun = (id: string): Promise<BrowserRun | undefined> => within((db) => db.get("runs", id));

/** Changes the name of a run; returns the run, or undefined if there is none. */
export const renameRun = (id: string, name: string | null): Promise<BrowserRun | undefined> =>
  within(async (db) => {
    const change = db.transaction("runs", "readwrite");
    const run = await change.store.get(id);
    const renamed = run && { ...run, name };
    if (renamed) await change.store.put(renamed);
    await change.done;
    return renamed;
  });

export const deleteRun = (id: string): Promise<void> => within((db) => db.delete("runs", id));
