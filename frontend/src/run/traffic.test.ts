import { describe, expect, it } from "vitest";
import { trafficNews, trafficRun } from "../testing/traffic";
import { afterNews, MOST_LISTED } from "./traffic";

const ids = (runs: readonly { run: string }[]) => runs.map(({ run }) => run);

describe("the list of requests", () => {
  it("has the newest first, and replaces what changed", () => {
    const first = afterNews(
      [],
      trafficNews([trafficRun("a", { created_ms: 1 }), trafficRun("b", { created_ms: 2 })], true),
    );
    expect(ids(first)).toEqual(["b", "a"]);
    const next = afterNews(first, trafficNews([trafficRun("a", { created_ms: 1, state: "done" })]));
    expect(next.map(({ state }) => state)).toEqual(["decoding", "done"]);
    expect(ids(afterNews(next, trafficNews([trafficRun("c", { created_ms: 3 })], true)))).toEqual(["c"]);
  });

  it("is bounded, and keeps what goes on", () => {
    const going = trafficRun("going", { created_ms: 0 });
    const over = Array.from({ length: 3 * MOST_LISTED }, (_, at) =>
      trafficRun(`r${at}`, { created_ms: at + 1, state: "done" }),
    );
    const list = afterNews([going], trafficNews(over));
    expect(list).toHaveLength(MOST_LISTED);
    expect([list.at(0)?.run, list.at(-1)?.run]).toEqual([`r${3 * MOST_LISTED - 1}`, "going"]);
  });
});
