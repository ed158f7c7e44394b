import { describe, expect, it } from "vitest";
import { openRecording, roundsShown } from "../../run/playback";
import { done, roundOf, started, timed } from "../../testing/messages";
import { isTaken, playbackKey } from "./shortcuts";

const events = timed([started(), ...roundOf(0, ["a", "b"], 1, "c"), ...roundOf(1, ["d"], 1, "e"), done()]);
const begun = openRecording(events, "real");
const pressed = (...keys: readonly [string, boolean?][]) =>
  keys.reduce((play, [key, shift = false]) => playbackKey({ key, shift })?.(play) ?? play, begun);

describe("the shortcuts", () => {
  it("move by round, and with shift by token", () => {
    expect(roundsShown(pressed(["ArrowRight"]))).toBe(1);
    expect(roundsShown(pressed(["ArrowRight"], ["ArrowRight"], ["ArrowLeft"]))).toBe(1);
    const oneToken = pressed(["ArrowRight", true]);
    expect(oneToken.shown.rounds[0]?.drafted).toHaveLength(1);
    expect(roundsShown(oneToken)).toBe(0);
  });

  it("go to both ends, and pause", () => {
    expect(roundsShown(pressed(["End"]))).toBe(2);
    expect(roundsShown(pressed(["End"], ["Home"]))).toBe(0);
    expect([begun.playing, pressed([" "]).playing, pressed([" "], [" "]).playing]).toEqual([
      true,
      false,
      true,
    ]);
  });

  it("leave other keys alone", () => expect(playbackKey({ key: "a", shift: false })).toBeNull());
});

describe("a focused element", () => {
  const within = (html: string): Element => {
    document.body.innerHTML = html;
    return document.body.querySelector("[data-focus]") ?? document.body;
  };

  it("keeps the keys that it uses", () => {
    expect(isTaken(within("<textarea data-focus></textarea>"), "?")).toBe(true);
    expect(isTaken(within("<button data-focus>x</button>"), " ")).toBe(true);
    expect(isTaken(within("<div role=tree data-focus></div>"), "ArrowLeft")).toBe(true);
  });

  it("leaves the others to the page", () => {
    expect(isTaken(within("<button data-focus>x</button>"), "ArrowLeft")).toBe(false);
    expect(isTaken(within("<div role=slider data-focus></div>"), "?")).toBe(false);
    expect(isTaken(document.body, " ")).toBe(false);
  });
});
