import { expect, it } from "vitest";
import { openRecording, showEvents } from "../run/playback";
import { emptyRun, reduceAll } from "../run/reducer";
import { STOPS, tourRound, tourStops } from "../run/tour";
import { done, roundOf, started } from "../testing/messages";
import { caption } from "./tour";

const events = [started(), ...roundOf(0, ["a", "b"], 1, "c"), ...roundOf(1, ["d"], 1, "e"), done()];

it("stops after the draft, the first verdict, the replacement and the end of the first round", () => {
  const stops = tourStops(events);
  const at = (stop: (typeof STOPS)[number]) =>
    showEvents(openRecording(events, "real"), stops?.[stop] ?? 0).shown;
  expect(at("drafted").rounds[0]?.drafted.map(({ status }) => status)).toEqual(["pending", "pending"]);
  expect(at("checked").rounds[0]?.drafted.map(({ status }) => status)).toEqual(["accepted", "pending"]);
  expect(at("replaced").rounds[0]?.emitted.map(({ status }) => status)).toEqual(["accepted", "resampled"]);
  expect(at("counted").rounds[0]?.metrics).not.toBeNull();
  expect(at("counted").rounds).toHaveLength(1);
});

it("has no stops without a draft", () => {
  expect(tourStops([started(), ...roundOf(0, [], 0, "x"), done()])).toBeNull();
  expect(tourStops([])).toBeNull();
  expect(tourRound(emptyRun)).toBeNull();
});

it("describes the round as it was", () => {
  const words = (accepted: number) => {
    const round = tourRound(reduceAll(emptyRun, [started(), ...roundOf(0, ["a", "b"], accepted, "c")]));
    return STOPS.map((stop) => round && caption(stop, round));
  };
  expect(words(1)[0]).toMatch(/proposes 2 tokens/);
  expect(words(1)[2]).toMatch(/replaced by one of the target’s own/);
  expect(words(2)[2]).toMatch(/All of them pass/);
  expect(words(2)[3]).toMatch(/gave 3 tokens/);
});
