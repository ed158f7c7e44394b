import { describe, expect, it } from "vitest";
import { type Branch, roundOf, started, treeOf } from "../testing/messages";
import { attentionOf, changesSource, isTree, pathTo, siblingInfoIn } from "./branches";
import { emptyRun, reduceAll } from "./reducer";
import { tokenByKey } from "./selectors";

/** the ─ cat ─ sat, a second "the" from another drafter, a ─ dog; cat has a sibling. */
const TREE: readonly Branch[] = [
  { word: "the", parent: null, status: "accepted", source: "ngram" },
  { word: "cat", parent: 0, status: "accepted", source: "ngram" },
  { word: "sat", parent: 1, status: "rejected", source: "model" },
  { word: "a", parent: null, status: "rejected" },
  { word: "dog", parent: 3, status: "discarded" },
  { word: "the", parent: null, status: "discarded" },
  { word: "hat", parent: 0, status: "discarded" },
];
const run = reduceAll(emptyRun, [started(), ...treeOf(0, TREE, "ran"), ...roundOf(1, ["x", "y"], 1, "z")]);

function at(key: string) {
  const token = tokenByKey(run, key);
  const round = run.rounds[Number.parseInt(key, 10)];
  if (!token || !round) throw new Error("missing");
  return { token, round };
}
const siblingInfo = (key: string) => siblingInfoIn(run, at(key).token);

describe("the branches of a draft", () => {
  it("distinguish a tree from a chain", () => {
    expect(run.rounds.map(isTree)).toEqual([true, false]);
    expect(siblingInfo("1:0")).toBeNull();
  });

  it("give each token its number among its siblings", () => {
    expect(siblingInfo("0:0")).toMatchObject({ parent: null, number: 1, count: 3, duplicateOf: 0 });
    expect(siblingInfo("0:3")).toMatchObject({ number: 2, count: 3 });
    expect(siblingInfo("0:6")).toMatchObject({ parent: { label: "the" }, number: 2, count: 2 });
    expect(siblingInfo("0:2")).toMatchObject({ number: 1, count: 1 });
    expect(siblingInfo("0:+")).toMatchObject({ parent: { label: "cat" }, number: 0 });
  });

  it("name an earlier sibling with the same token", () => {
    expect(siblingInfo("0:5")).toMatchObject({ number: 3, duplicateOf: 1 });
  });

  it("return the same objects every time", () => {
    expect(siblingInfo("0:0")).toBe(siblingInfo("0:0"));
  });

  it("lead from the committed text to a token", () => {
    const labels = (key: string) => pathTo(at(key).round, at(key).token).map(({ label }) => label);
    expect(labels("0:2")).toEqual(["the", "cat", "sat"]);
    expect(labels("0:4")).toEqual(["a", "dog"]);
    expect(labels("0:+")).toEqual(["the", "cat"]);
  });

  it("know where the drafter changes: relative to the sibling above, or to the parent", () => {
    const changes = ["0:0", "0:1", "0:2", "0:3", "0:4", "0:5", "0:6", "0:+"].filter((key) => {
      return changesSource(at(key).round, at(key).token);
    });
    expect(changes).toEqual(["0:0", "0:2", "0:3", "0:6"]);
  });
});

it("compares the drafters of two siblings below the spine, although the one on the spine is between them", () => {
  const grown = reduceAll(emptyRun, [
    started(),
    ...treeOf(
      0,
      [
        { word: "a", parent: null, status: "rejected", source: "suffix" },
        { word: "b", parent: null, status: "accepted" },
        { word: "c", parent: null, status: "discarded" },
        { word: "d", parent: null, status: "discarded" },
      ],
      "e",
    ),
  ]);
  const round = grown.rounds[0];
  expect(round?.drafted.map((token) => changesSource(round, token))).toEqual([true, true, true, false]);
});

describe("tree attention", () => {
  it("is a token's own path without its siblings", () => {
    expect(attentionOf(run, "0:2")).toMatchObject({
      round: 0,
      hidden: 4,
      keys: new Set(["0:0", "0:1", "0:2"]),
    });
    expect(attentionOf(run, "0:5")).toMatchObject({ hidden: 6, keys: new Set(["0:5"]) });
  });

  it("is that of the row it was drawn from, for a token that was not in the pass", () => {
    const attention = attentionOf(run, "0:+");
    expect(attention?.path.map(({ key }) => key)).toEqual(["0:0", "0:1"]);
    expect(attention?.keys.has("0:+")).toBe(true);
  });

  it("is null in a chain", () => {
    expect(attentionOf(run, "1:0")).toBeNull();
    expect(attentionOf(run, null)).toBeNull();
    expect(attentionOf(run, "9:0")).toBeNull();
  });
});
