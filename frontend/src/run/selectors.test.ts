import { describe, expect, it } from "vitest";
import type { PlanInfo, RemoteInfo, ServerMessage, Started } from "../protocol/generated";
import { type Branch, done, draft, roundOf, started, treeOf, updated, verdict } from "../testing/messages";
import { PLAN } from "../testing/runs";
import type { Token } from "./model";
import { emptyRun, reduceAll } from "./reducer";
import * as select from "./selectors";
import { textBlocks } from "./text";

const run = reduceAll(emptyRun, [
  started(),
  ...roundOf(0, ["a", "b", "c"], 1, "d"),
  ...roundOf(1, ["e", "f"], 2, "g"),
  ...roundOf(2, [], 0, "h"),
]);

const REMOTE: RemoteInfo = {
  url: "http://there/v1",
  mode: "thinned",
  rtt_ms: 40,
  calls_per_round: 1,
  findings: [],
  rate_limit: null,
  warning: null,
};

describe("selectors", () => {
  it("has the current mode of a remote target, which an update can change", () => {
    const begun = reduceAll(emptyRun, [started({ remote: REMOTE })]);
    const changed = reduceAll(begun, [updated({ remote: { ...REMOTE, mode: "greedy" } })]);
    expect(select.remoteOf(begun)?.mode).toBe("thinned");
    expect(select.remoteOf(changed)?.mode).toBe("greedy");
    expect(select.remoteOf(run)).toBeNull();
  });

  it("has a scrubber cell for each round, without a share if nothing was drafted", () => {
    expect(select.scrubberCells(run).map(({ share, end }) => [share, end])).toEqual([
      [1 / 3, "rejection"],
      [1, "bonus"],
      [null, "plain"],
    ]);
  });

  it("finds tokens by key, drafted or emitted", () => {
    expect(select.tokenByKey(run, "0:1")?.status).toBe("rejected");
    expect(select.tokenByKey(run, "1:+")?.status).toBe("bonus");
    expect(select.tokenByKey(run, "9:0")).toBeNull();
    expect(select.tokenByKey(run, null)).toBeNull();
  });

  it("links a rejected token and its replacement both ways", () => {
    const rejected = select.tokenByKey(run, "0:1");
    const resampled = select.tokenByKey(run, "0:+");
    if (!rejected || !resampled) throw new Error("missing");
    expect(select.replacedBy(run, resampled)).toEqual([rejected]);
    expect(select.replacementOf(run, rejected)).toBe(resampled);
    expect(select.replacedBy(run, rejected)).toEqual([]);
  });

  it("joins the text with the tail that the end adds", () => {
    const ended = reduceAll(run, [done({ text_tail: "!" })]);
    expect(select.visibleText(ended)).toBe("adefgh!");
  });

  it("has the undecided tokens after the accepted ones", () => {
    const open = reduceAll(run, [
      draft(3, 0, "x"),
      draft(3, 1, "y"),
      draft(3, 2, "z"),
      verdict({ round: 3, node: 0, position: 0, status: "accepted", text: "x" }),
    ]);
    expect(select.undecidedPath(open).map((token) => token.label)).toEqual(["y", "z"]);
    expect(select.undecidedPath(run)).toEqual([]);
  });

  it("has the first round with the current settings", () => {
    const changed = reduceAll(run, [updated({ round: 3, k: 5 }), updated({ round: 5, k: 5 })]);
    expect(select.changedAtRound(changed, (at) => at.k)).toBe(3);
    expect(select.changedAtRound(changed, (at) => at.drafter)).toBeNull();
    expect(select.currentSettings(changed)?.k).toBe(5);
  });
});

describe("a round whose draft is a tree", () => {
  const TREE: readonly Branch[] = [
    { word: "a", parent: null, status: "rejected" },
    { word: "b", parent: null, status: "accepted" },
    { word: "c", parent: 0, status: "discarded" },
    { word: "d", parent: 1, status: "rejected" },
    { word: "e", parent: 1, status: "rejected" },
    { word: "f", parent: 3, status: "discarded" },
  ];
  const events = treeOf(0, TREE, "x");
  const grown = reduceAll(emptyRun, [started(), ...events]);
  const labels = (line: readonly { label: string }[] | undefined) => line?.map(({ label }) => label);

  it("replaces all siblings at one position, and no others", () => {
    const token = (key: string) => select.tokenByKey(grown, key) as Token;
    expect(labels(select.replacedBy(grown, token("0:+")))).toEqual(["d", "e"]);
    expect(select.replacementOf(grown, token("0:3"))?.label).toBe("x");
    expect(select.replacementOf(grown, token("0:0"))?.label).toBe("b");
    expect(select.replacementOf(grown, token("0:2"))).toBeNull();
  });

  it("shows rejected tokens before their replacement", () => {
    const firstLine = (showRejected: boolean) => textBlocks(grown, showRejected).blocks[0]?.lines[0];
    expect(labels(firstLine(true))).toEqual(["a", "b", "d", "e", "x"]);
    expect(labels(firstLine(false))).toEqual(["b", "x"]);
  });

  it("shows one undecided path, through the sibling that is tested next", () => {
    const upTo = (count: number) => reduceAll(emptyRun, [started(), ...events.slice(0, count)]);
    expect(labels(select.undecidedPath(upTo(6)))).toEqual(["a", "c"]);
    const accepted = upTo(7);
    expect(labels(accepted.rounds[0]?.emitted)).toEqual(["b"]);
    expect(labels(select.undecidedPath(accepted))).toEqual(["d", "f"]);
    const rejected = upTo(9);
    expect(select.tokenByKey(rejected, "0:3")?.status).toBe("rejected");
    expect(labels(select.undecidedPath(rejected))).toEqual(["e"]);
  });

  it("ends as its path ends, whatever siblings were rejected", () => {
    expect(select.scrubberCells(grown)).toMatchObject([{ accepted: 1, drafted: 6, end: "rejection" }]);
    const kept = TREE.slice(0, 3);
    expect(select.scrubberCells(reduceAll(emptyRun, treeOf(0, kept, "x")))).toMatchObject([{ end: "bonus" }]);
  });
});

describe("the drafters that a run may use", () => {
  const [first] = roundOf(0, ["a"], 1, "b").slice(-1);
  const runOf = (changes: Partial<Started>, plan: PlanInfo | null) =>
    reduceAll(emptyRun, [started(changes), { ...first, plan } as ServerMessage]);

  it("are those that the last plan of auto weighed, the usual one first", () => {
    const { chosen, others } = PLAN;
    const turned = { ...PLAN, chosen: others[0] ?? chosen, others: [chosen] };
    for (const plan of [PLAN, turned]) {
      expect(select.draftersOf(runOf({ policy: "auto", drafter: "suffix" }, plan))).toEqual([
        "suffix",
        "model",
      ]);
      expect(select.draftersOf(runOf({ policy: "auto", drafter: "model" }, plan))).toEqual([
        "model",
        "suffix",
      ]);
    }
  });

  it("are the usual one before the first plan, and none in a plain run", () => {
    expect(select.draftersOf(reduceAll(emptyRun, [started({ policy: "auto" })]))).toEqual(["model"]);
    expect(select.draftersOf(runOf({ drafter: "ngram" }, null))).toEqual(["ngram"]);
    expect(select.draftersOf(runOf({ policy: "auto", k: 0 }, PLAN))).toEqual([]);
    expect(select.draftersOf(emptyRun)).toEqual([]);
  });
});

it("ends a round in a rejection if block verification cut the draft", () => {
  const cut = reduceAll(emptyRun, [
    started({ rule: "block" }),
    draft(0, 0, "a"),
    verdict(
      { round: 0, node: 0, position: 0, status: "discarded", text: "" },
      { acceptance_prob: 0.2, uniform: 0.9 },
    ),
    verdict({ round: 0, node: null, position: 0, status: "resampled", text: "b" }),
  ]);
  expect(select.scrubberCells(cut)).toMatchObject([{ end: "rejection" }]);
  expect(textBlocks(cut, true).blocks[0]?.lines[0]?.map(({ label }) => label)).toEqual(["a", "b"]);
});
