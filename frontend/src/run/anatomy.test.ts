// @vitest-environment node
// The page counts as the server does: tests/lab/test_anatomy.py writes what is expected here.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { AcceptanceAnatomy, VerifyResult } from "../protocol/generated";
import { anatomyOf, tokensTested, wilson } from "./anatomy";
import { tokenClass } from "./tokenClass";

const read = (path: string) => readFileSync(fileURLToPath(new URL(path, import.meta.url)), "utf8");
const events = read("../../public/recording.jsonl")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));
const verdicts: VerifyResult[] = events.filter(({ type }) => type === "verify_result");
const { prompt } = events.find(({ type }) => type === "started");

describe("the acceptance anatomy", () => {
  it("of the recorded run is what the server computes", () => {
    const expected: AcceptanceAnatomy = JSON.parse(read("../testing/anatomy.json"));
    const found = anatomyOf([{ prompt, tokens: tokensTested("cli", verdicts) }], 0);
    const close = (one: AcceptanceAnatomy) =>
      JSON.parse(JSON.stringify(one), (_, value) =>
        typeof value === "number" ? Number(value.toFixed(9)) : value,
      );
    expect(found.tested).toBeGreaterThan(100);
    expect(close(found)).toEqual(close(expected));
  });

  it("keeps few prompts apart", () => {
    const tokens = tokensTested("cli", verdicts);
    const runs = Array.from({ length: 12 }, (_, at) => ({
      prompt: `prompt ${at}`,
      tokens: tokens.slice(at),
    }));
    const cells = anatomyOf(runs, 3).groups.find(({ by }) => by === "prompt")?.cells ?? [];
    expect(cells).toHaveLength(8);
    expect(cells.at(-1)?.label).toBe("other prompts");
    expect(cells.reduce((sum, { tested }) => sum + tested, 0)).toBe(12 * tokens.length - 66);
  });

  it("of no run is empty", () => {
    expect(anatomyOf([], 0)).toMatchObject({ runs: 0, tested: 0, groups: [{ cells: [] }, {}, {}, {}] });
    expect(wilson(0, 0)).toEqual([0, 1]);
  });
});

describe("the class of a token", () => {
  it.each([
    [" the", "", "word start"],
    ["ing", "go", "word continuation"],
    ["'s", "it", "word continuation"],
    [" 12", "", "number"],
    ["\n  ", "", "whitespace"],
    ["", "", "other"],
    [",", "", "punctuation"],
    [".append", "list", "code symbol"],
    ["():", "f", "code symbol"],
    ["<|im_end|>", "", "control"],
    ["\\xe2\\x82", "", "other"],
    ["🙂", "", "other"],
    ["é", "caf", "word continuation"],
  ])("%j after %j is %s", (token, before, name) => expect(tokenClass(token, before)).toBe(name));
});
