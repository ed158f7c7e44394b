import { describe, expect, it } from "vitest";
import { Log } from "./log";

describe("a log", () => {
  it("keeps every version as it was, also when two versions continue an older one", () => {
    const first = Log.of(["a"]);
    const left = first.append(["b", "c"]);
    const right = first.append(["d"]);
    expect([first, left, right].map((log) => log.toArray())).toEqual([["a"], ["a", "b", "c"], ["a", "d"]]);
    expect(first.at(1)).toBeUndefined();
    expect(first.findIndex((item) => item > "a")).toBe(-1);
  });

  it("does not change the array that it was made of", () => {
    const items = ["a"];
    Log.of(items).append(["b"]);
    expect(items).toEqual(["a"]);
  });

  it("is read by index, from both ends, and by search", () => {
    const log = Log.of([5, 6, 7, 6]);
    expect([log.at(0), log.at(-1), log.at(4), log.at(-5)]).toEqual([5, 6, undefined, undefined]);
    expect([log.findIndex((n) => n > 5), log.findIndex((n) => n > 5, 2)]).toEqual([1, 2]);
  });
});
