import { expect, it } from "vitest";
import { chain, roundOf } from "../testing/runs";
import { statusAfter, walkOf } from "./walk";

const kinds = (spec: string) =>
  walkOf(roundOf(0, chain(spec)))
    .map(({ kind }) => kind[0])
    .join("");

it("drafts all, reads all in one pass, tests until one fails, and keeps", () => {
  expect(kinds("aard+")).toBe("sddddpttt" + "ek");
  expect(kinds("aa*")).toBe("sddpttek");
  expect(kinds("rdd+")).toBe("sdddptek");
});

it("shows a token from its draft on, and its fate from its test on", () => {
  const round = roundOf(0, chain("aard+"));
  const steps = walkOf(round);
  const fates = (at: number) =>
    [...round.drafted, ...round.emitted.slice(-1)].map((token) => statusAfter(token, steps, at));
  expect(fates(0)).toEqual([null, null, null, null, null]);
  expect(fates(2)).toEqual(["pending", "pending", null, null, null]);
  expect(fates(6)).toEqual(["accepted", "pending", "pending", "pending", null]);
  expect(fates(8)).toEqual(["accepted", "accepted", "rejected", "discarded", null]);
  expect(fates(steps.length - 1)).toEqual(["accepted", "accepted", "rejected", "discarded", "resampled"]);
});
