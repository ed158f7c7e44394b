import { describe, expect, it } from "vitest";
import { agreeing, lookUp, replay } from "./lookup";

const ids = (text: string) => [...text].map((letter) => letter.charCodeAt(0));
const text = (tokens: readonly number[]) => String.fromCharCode(...tokens);
const draft = (before: string, k = 3) => text(lookUp(ids(before), before.length, k).tokens);

describe("prompt lookup", () => {
  it("copies what followed the longest match, the latest of equals", () => {
    expect(draft("abcd_abx_ab", 1)).toBe("x");
    expect(draft("1abcX_2abY_1abc", 1)).toBe("X");
    expect(lookUp(ids("abcdZ_abcd"), 10, 2)).toMatchObject({ matched: 4, from: 0 });
  });

  it("drafts nothing without a match of two tokens, and only what is known", () => {
    expect(draft("abcdef")).toBe("");
    expect(draft("a_b_a")).toBe("");
    expect(draft("")).toBe("");
    expect(draft("ababab", 9)).toBe("ab");
  });

  it("never reads the text that it drafts for", () => {
    const written = ids("abcabcabx");
    for (let at = 0; at < written.length; at += 1) {
      expect(lookUp(written, at, 4)).toEqual(lookUp(written.slice(0, at), at, 4));
    }
  });
});

describe("a replay", () => {
  it("keeps the tokens that agree, and one more a round", () => {
    expect(agreeing(ids("abcd"), 1, ids("bcx"))).toBe(2);
    expect(agreeing(ids("abc"), 1, ids("bcd"))).toBe(2);
    expect(replay(ids("abcdef"), 4)).toEqual({ rounds: 6, tokens: 6, drafted: 0 });
    // After "xyzabc_xy" the draft "zab" is right, and "_" follows after another round.
    const { rounds, tokens, drafted } = replay(ids("xyzabc_xyzabc"), 3);
    expect([rounds, tokens, drafted]).toEqual([10, 13, 3]);
  });
});
