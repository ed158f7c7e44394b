import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import { beforeEach, expect, it } from "vitest";
import { emptyRun, reduceAll } from "../run/reducer";
import { summaryOf } from "../run/summary";
import { started } from "../testing/messages";
import { allRuns, type BrowserRun, deleteRun, keepRun, MOST_RUNS, oneRun, renameRun } from "./browserRuns";

beforeEach(() => {
  globalThis.indexedDB = new IDBFactory();
});

const summary = summaryOf(reduceAll(emptyRun, [started()]), String);
if (!summary) throw new Error("A run that started has a summary.");
const run = (number: number): BrowserRun => ({
  id: `run-${number}`,
  created_ms: number,
  name: null,
  prompt: `prompt ${number}`,
  summary,
  trace_bytes: 5,
  header: { created: "", machine: "", speculatoviz: "" },
  trace: "trace",
});
const ids = async () => (await allRuns()).map(({ id }) => id);

it("gives back what was kept, the newest first", async () => {
  for (const number of [2, 1, 3]) await keepRun(run(number));
  expect(await ids()).toEqual(["run-3", "run-2", "run-1"]);
  expect(await oneRun("run-2")).toEqual(run(2));
  expect(await oneRun("run-9")).toBeUndefined();
});

it("keeps the last runs, and those with a name", async () => {
  for (let number = 1; number <= MOST_RUNS; number += 1) await keepRun(run(number));
  await renameRun("run-1", "best");
  await keepRun(run(MOST_RUNS + 1));
  const kept = await ids();
  expect(kept).toHaveLength(MOST_RUNS);
  expect(kept).toContain("run-1");
  expect(kept).not.toContain("run-2");
  expect(kept[0]).toBe(`run-${MOST_RUNS + 1}`);
});

it("names and deletes runs", async () => {
  await keepRun(run(1));
  expect((await renameRun("run-1", "best"))?.name).toBe("best");
  expect((await oneRun("run-1"))?.name).toBe("best");
  expect(await renameRun("run-9", "none")).toBeUndefined();
  await deleteRun("run-1");
  expect(await ids()).toEqual([]);
});
