import { describe, expect, it } from "vitest";
import { trafficRun, trafficSummary } from "../testing/traffic";
import {
  countWords,
  figuresOf,
  firstTokenMs,
  requestTitle,
  sharedWords,
  speculationWords,
  stateWords,
  watchedWords,
} from "./traffic";

const watched = {
  server: "http://127.0.0.1:8001",
  route: "/v1/completions",
  engine: "vLLM",
  status: 200,
  streamed: true,
};

describe("a request in words", () => {
  it("has its figures, and a dash where one is unknown", () => {
    expect(figuresOf(trafficRun("a")).map(({ value }) => value)).toEqual([
      "12",
      "30",
      "3.00",
      "50 %",
      "150 ms",
      "21.5",
    ]);
    const waiting = trafficRun("a", { summary: null, queue_ms: null });
    expect(figuresOf(waiting).map(({ value }) => value)).toEqual(["12", "–", "–", "–", "–", "–"]);
    expect(firstTokenMs(waiting)).toBeNull();
  });

  it("names its state, its place, and what it shared", () => {
    expect(stateWords(trafficRun("a", { state: "queued", place: 3 }))).toBe("queued, place 3");
    expect(stateWords(trafficRun("a", { state: "prefill" }))).toBe("prefill");
    expect(sharedWords(trafficRun("a"))).toBe("alone");
    expect(sharedWords(trafficRun("a", { most_runs: 3, shared_rounds: 4 }))).toBe(
      "up to 3 runs, 4 of 10 rounds",
    );
    expect(speculationWords(trafficRun("a"))).toBe("small, k 4, fixed");
  });

  it("shows a prompt only if it came", () => {
    expect(requestTitle(trafficRun("cmpl-1-0"))).toBe("cmpl-1-0");
    expect(requestTitle(trafficRun("cmpl-1-0", { prompt: " one\n two " }))).toBe("one two");
  });

  it("claims nothing of a watched server that it did not report", () => {
    const run = trafficRun("watch-1", {
      summary: trafficSummary({ watched, drafted: 0, tokens_per_round: null }),
    });
    expect([watchedWords(run), speculationWords(run), sharedWords(run)]).toEqual([
      "watched, vLLM at http://127.0.0.1:8001",
      "not reported",
      "–",
    ]);
    expect(watchedWords(trafficRun("a"))).toBeNull();
  });

  it("is counted by state", () => {
    expect(countWords([])).toBe("0 requests, none goes on.");
    expect(
      countWords([trafficRun("a"), trafficRun("b", { state: "queued" }), trafficRun("c", { state: "done" })]),
    ).toBe("3 requests: 1 decoding, 1 queued.");
  });
});
