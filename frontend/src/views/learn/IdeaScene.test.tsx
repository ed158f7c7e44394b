import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import type { Run } from "../../run/model";
import { emptyRun } from "../../run/reducer";
import { chain, roundOf, STARTED } from "../../testing/runs";
import { contestOf, plainBy } from "../../words/learn/idea";
import { IdeaScene } from "./IdeaScene";

const ROUNDS = ["aa*", "ar+", "aa*"].map((spec, at) => roundOf(at, chain(spec), (_, place) => ` w${place}`));
const RUN: Run = { ...emptyRun, started: STARTED, rounds: ROUNDS };
afterEach(cleanup);

const shown = (name: string) => screen.getByRole("region", { name }).textContent ?? "";
const move = (key: string) => fireEvent.keyDown(screen.getByRole("slider", { name: "Time" }), { key });
const ALL = ROUNDS.flatMap(({ emitted }) => emitted.map(({ text }) => text)).join("");

it("writes the same text in both lanes, each at its own time", () => {
  render(<IdeaScene run={RUN} />);
  expect(shown("With a draft model"), "done first").toBe(ALL);
  expect(ALL.startsWith(shown("The target alone"))).toBe(true);
  expect(shown("The target alone").length).toBeLessThan(ALL.length);
  move("Home");
  expect([shown("The target alone"), shown("With a draft model")]).toEqual(["", ""]);
  move("End");
  expect([shown("The target alone"), shown("With a draft model")]).toEqual([ALL, ALL]);
  expect(screen.getByRole("status").textContent).toMatch(
    /^8 tokens: 0\.6 s alone, .* with drafts\. That is 1\.\d\d× as fast\.$/,
  );
  const marks = [...document.querySelectorAll(".idea-lane .idea-drafted")];
  expect(marks).toHaveLength(5);
});

it("takes the target's time from its measured speed, and that of the drafts from the rounds", () => {
  const contest = contestOf(RUN);
  if (!contest) throw new Error("no contest");
  expect(contest.plainMs).toBeCloseTo((1000 * 8) / 13.2);
  expect(contest.draftedMs).toBeCloseTo(
    ROUNDS.reduce((sum, { metrics }) => sum + (metrics?.round_ms ?? 0), 0),
  );
  expect([0, 75, 76, 10_000].map((ms) => plainBy(contest, ms))).toEqual([0, 0, 1, 8]);
  expect(contestOf({ ...RUN, started: { ...STARTED, baseline: null } })).toBeNull();
});

it("explains itself without a run", () => {
  render(<IdeaScene run={null} />);
  expect(screen.getByText("The recorded run is not loaded.")).toBeTruthy();
  expect(screen.getByText("Drafter:")).toBeTruthy();
});
