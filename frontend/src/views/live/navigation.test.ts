import { describe, expect, it } from "vitest";
import { emptyRun, reduceAll } from "../../run/reducer";
import { roundOf, started } from "../../testing/messages";
import { nextTokenKey } from "./navigation";

const run = reduceAll(emptyRun, [started(), ...roundOf(0, ["a", "b"], 1, "c"), ...roundOf(1, ["d"], 1, "e")]);

describe("nextTokenKey", () => {
  it.each([
    ["0:0", "ArrowRight", "0:+"],
    ["0:+", "ArrowRight", "1:0"],
    ["1:0", "ArrowLeft", "0:+"],
    ["0:0", "ArrowLeft", null],
    ["0:0", "ArrowDown", "1:0"],
    ["1:+", "ArrowUp", "0:0"],
    ["1:+", "Home", "0:0"],
    ["0:0", "End", "1:+"],
    ["0:0", "x", null],
  ])("from %s, %s leads to %s", (key, pressed, expected) => {
    expect(nextTokenKey(run, key, pressed)).toBe(expected);
  });
});
