import { describe, expect, it } from "vitest";
import type { Round } from "../run/model";
import { chain, type RoundShape, roundOf } from "../testing/runs";
import { bushy } from "../testing/trees";
import { rowOf, spineOf } from "./find";
import { fitZoom } from "./fit";
import type { Layout, LayoutNode, Row } from "./geometry";
import { layout } from "./layout";
import { scaleAt } from "./scale";

const WIDTH = 700;
const FULL = scaleAt(1);
const WORDS = [" the", "\n        ", "unbelievably_long", " a", "日本語", "{", " lists"];
const labels = (round: number, position: number) => WORDS[(round * 3 + position * 5) % WORDS.length] ?? "";
const SPECS = ["aaaa*", "aard+", "rddd+", "aaar+", "ardd+", "*", "="];
const TREE: RoundShape = {
  extra: "resampled",
  nodes: [
    { parent: null, status: "accepted" },
    { parent: null, status: "discarded" },
    { parent: 0, status: "rejected" },
    { parent: 0, status: "rejected" },
    { parent: 2, status: "discarded" },
    { parent: 2, status: "discarded" },
    { parent: 1, status: "discarded" },
  ],
};

const chains = (specs: readonly string[]): Round[] => specs.map((spec, i) => roundOf(i, chain(spec), labels));
const many = (count: number) =>
  chains(Array.from({ length: count }, (_, i) => SPECS[(i * 4 + (i >> 2)) % SPECS.length] ?? "*"));
const deep = (count: number) =>
  chains(Array.from({ length: count }, (_, i) => `${"a".repeat(i % 9)}r${"d".repeat(15 - (i % 9))}+`));
const nodesOf = (placed: Layout) => placed.rows.flatMap((row) => row.nodes);
const find = (placed: Layout, key: string) => nodesOf(placed).find((node) => node.token.key === key);
const edgesTo = (placed: Layout, key: string) =>
  placed.rows.flatMap((row) => row.edges).filter((edge) => edge.to === key && edge.key.endsWith("<"));

const FORESTS = [bushy(32, 2, 3), bushy(32, 3, 2), bushy(32, 8, 1), bushy(24, 24, 0), bushy(12, 1, 5)];
const forest = FORESTS.map((shape, i) => roundOf(i, shape, labels));

function overlaps(nodes: readonly LayoutNode[]): string[] {
  const sorted = [...nodes].sort((a, b) => a.lane - b.lane || a.left - b.left);
  return sorted.flatMap((node, i) => {
    const next = sorted[i + 1];
    return next && next.lane === node.lane && next.left < node.right - 1e-6
      ? [`${node.token.key} ${next.token.key}`]
      : [];
  });
}

/** Vertical parts of edges that cross a node below the spine. */
function crossings({ nodes, edges }: Row): string[] {
  const verticals = edges.flatMap(({ to, path }) => verticalParts(path).map((part) => ({ to, ...part })));
  return nodes
    .filter(({ lane }) => lane > 0)
    .flatMap((node) =>
      verticals
        .filter(({ x, top, bottom }) => x > node.left && x < node.right && top < node.y && bottom > node.y)
        .map(({ to }) => `${to} through ${node.token.key}`),
    );
}

function verticalParts(path: string): { x: number; top: number; bottom: number }[] {
  const points = [...path.matchAll(/(-?[\d.]+),(-?[\d.]+)/g)].map(
    ([, x, y]) => [Number(x), Number(y)] as const,
  );
  return points.slice(1).flatMap(([x, y], i) => {
    const [x0, y0] = points[i] ?? [0, 0];
    return x === x0 ? [{ x, top: Math.min(y, y0), bottom: Math.max(y, y0) }] : [];
  });
}

describe.each([
  ["mixed chains", many(60), WIDTH, 1],
  ["mixed chains on a phone", many(60), 360, 1],
  ["deep drafts", deep(20), WIDTH, 1],
  ["deep drafts on a phone", deep(20), 360, 1],
  ["deep drafts, tails labelled", deep(20), 360, 1.6],
  ["dots", many(200), WIDTH, 0.6],
  ["trees", [0, 1, 2, 3].map((i) => roundOf(i, TREE, labels)), WIDTH, 1],
  ["thirty-two nodes per round", forest, 900, 1],
  ["thirty-two nodes per round on a phone", forest, 340, 1],
  ["thirty-two nodes per round, small zoom", forest, 340, 0.6],
  ["thirty-two nodes per round, large zoom", forest, 340, 1.6],
  ["trees on a phone", [0, 1, 2, 3].map((i) => roundOf(i, TREE, labels)), 360, 1.6],
] as const)("%s", (_, rounds, width, zoom) => {
  const scale = scaleAt(zoom);
  const placed = layout(rounds, width, scale);

  it("contains every token once", () => {
    const drawn = nodesOf(placed).map((node) => node.token.key);
    const extras = rounds.flatMap((round) => round.emitted.filter((token) => token.node === null));
    const expected = [...rounds.flatMap((round) => round.drafted), ...extras].map((token) => token.key);
    expect(drawn.toSorted()).toEqual(expected.toSorted());
  });

  it("keeps the spine in the order of the text", () => {
    expect(spineOf(placed)).toEqual(rounds.flatMap((round) => round.emitted.map((token) => token.key)));
  });

  it("stays within the margins", () => {
    for (const node of nodesOf(placed)) {
      expect(node.left).toBeGreaterThanOrEqual(scale.margin - 1e-6);
      expect(node.right).toBeLessThanOrEqual(width - scale.margin + 1e-6);
    }
    for (const segment of placed.rows.flatMap((row) => row.segments)) {
      expect(segment.x + segment.width).toBeLessThanOrEqual(width - scale.margin + 1e-6);
    }
  });

  it("has no overlapping nodes in a lane", () => {
    expect(placed.rows.flatMap((row) => overlaps(row.nodes))).toEqual([]);
  });

  it("has no overlapping segments in a row, time labels included", () => {
    for (const { segments } of placed.rows) {
      segments.forEach((segment, i) => {
        const next = segments[i + 1];
        if (next) expect(segment.x + segment.width).toBeLessThan(next.x);
      });
    }
  });

  it("has rejected and discarded tokens below the spine, inside their row", () => {
    for (const row of placed.rows) {
      for (const node of row.nodes) {
        const kept = !["rejected", "discarded"].includes(node.token.status);
        expect(node.lane === 0).toBe(kept);
        expect(node.y + node.r).toBeLessThanOrEqual(row.height);
      }
    }
  });

  // At a large zoom on a phone every branch wraps, and an edge may cross a label.
  it.skipIf(width < 400 && zoom > 1)("has no edge that crosses a node or a label", () => {
    for (const row of placed.rows) expect(crossings(row)).toEqual([]);
  });

  it("has one edge to every node", () => {
    for (const node of nodesOf(placed)) expect(edgesTo(placed, node.token.key)).toHaveLength(1);
  });
});

describe("rows", () => {
  it("are only as high as their branches", () => {
    const flat = layout(chains(["aaaa*"]), WIDTH, FULL).rows[0]?.height ?? 0;
    const withBranch = layout(chains(["aaar+"]), WIDTH, FULL).rows[0]?.height ?? 0;
    expect(withBranch - flat).toBeCloseTo(FULL.laneHeight);
  });

  it("have an edge from the token before, if a resampled token begins a row", () => {
    const placed = layout(many(60), 360, FULL);
    const starts = placed.rows.slice(1).flatMap((row) => row.nodes.find((node) => node.lane === 0) ?? []);
    const resampled = starts.filter((node) => node.token.status === "resampled");
    expect(resampled.length).toBeGreaterThan(0);
    for (const node of resampled) {
      const spine = spineOf(placed);
      const before = spine[spine.indexOf(node.token.key) - 1];
      expect(edgesTo(placed, node.token.key)).toMatchObject([{ from: before, kind: "spine" }]);
    }
  });

  it("split a round that does not fit, and its time bar", () => {
    const pieces = layout(chains(["aaaaaaaaaaaaaaaa*"]), 360, FULL).rows.flatMap((row) => row.segments);
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces[0]).toMatchObject({ from: 0, title: "1" });
    expect(pieces.at(-1)).toMatchObject({ to: 1, title: null });
    pieces.slice(1).forEach((piece, i) => {
      expect(piece.from).toBeCloseTo(pieces[i]?.to ?? -1);
    });
  });
});

describe("a rejection", () => {
  const placed = layout(chains(["aard+"]), WIDTH, FULL);

  it("is below the token that replaced it", () => {
    const above = find(placed, "0:+");
    expect(find(placed, "0:2")?.left).toBeGreaterThan(above?.left ?? Number.NaN);
    expect(find(placed, "0:2")?.left).toBeLessThan(above?.right ?? Number.NaN);
  });

  it("has a red edge from its parent", () => {
    expect(edgesTo(placed, "0:2")).toMatchObject([{ from: "0:1", kind: "rejected" }]);
    expect(edgesTo(placed, "0:3")).toMatchObject([{ from: "0:2", kind: "tail" }]);
  });
});

describe("an open round", () => {
  it("continues the spine with pending tokens", () => {
    const placed = layout([roundOf(0, chain("a???", false))], WIDTH, FULL);
    expect(spineOf(placed)).toEqual(["0:0", "0:1", "0:2", "0:3"]);
    expect(edgesTo(placed, "0:2")).toMatchObject([{ kind: "waiting" }]);
  });

  it("moves a rejected token below the spine before its replacement is known", () => {
    const placed = layout([roundOf(0, chain("ar??", false))], WIDTH, FULL);
    expect(spineOf(placed)).toEqual(["0:0"]);
    expect(find(placed, "0:1")?.lane).toBe(1);
    expect(find(placed, "0:3")?.lane).toBe(1);
  });

  it("has no row before its first token", () => {
    expect(layout([roundOf(0, { nodes: [], extra: null, over: false })], WIDTH, FULL).rows).toEqual([]);
  });
});

describe("a tree", () => {
  const placed = layout([roundOf(0, TREE)], WIDTH, FULL);

  it("has a lane for each sibling", () => {
    expect(find(placed, "0:2")?.x).toBe(find(placed, "0:3")?.x);
    expect(find(placed, "0:2")?.lane).not.toBe(find(placed, "0:3")?.lane);
    expect(edgesTo(placed, "0:3")).toMatchObject([{ from: "0:0" }]);
    expect(edgesTo(placed, "0:5")).toMatchObject([{ from: "0:2" }]);
  });
});

describe("leaves of one parent", () => {
  const placed = layout([roundOf(0, bushy(24, 24, 0))], 900, FULL);

  it("are side by side below one edge", () => {
    const lanes = new Set(nodesOf(placed).map(({ lane }) => lane));
    expect(lanes.size).toBeLessThan(12);
    expect(nodesOf(placed).every(({ token, level }) => level === (token.node === null ? 1 : 2))).toBe(true);
  });
});

describe("a tree that would begin near the end of a row", () => {
  it("begins the next row, where its branches have space", () => {
    const rounds = [roundOf(0, chain("aaaaaaaaaaa*")), roundOf(1, bushy(32, 2, 3))];
    const { rows } = layout(rounds, WIDTH, FULL);
    expect(rows.map((row) => [...new Set(row.nodes.map(({ token }) => token.round))])).toEqual([[0], [1]]);
  });
});

describe("a new layout", () => {
  it("keeps the objects of rows that did not change", () => {
    const rounds = many(60);
    const before = layout(rounds.slice(0, 59), WIDTH, FULL);
    const after = layout(rounds, WIDTH, FULL, before);
    const kept = after.rows.filter((row, i) => row === before.rows[i]);
    expect(kept.length).toBeGreaterThanOrEqual(before.rows.length - 2);
    expect(kept.length).toBeLessThan(after.rows.length);
  });

  it("does not keep a row with a changed token", () => {
    const before = layout([roundOf(0, chain("aa??", false))], WIDTH, FULL);
    const after = layout([roundOf(0, chain("aaa?", false))], WIDTH, FULL, before);
    expect(after.rows[0]).not.toBe(before.rows[0]);
  });
});

describe.each([
  ["mixed chains", many(40), WIDTH, 1],
  ["mixed chains on a phone", many(40), 360, 1],
  ["deep drafts without labels", deep(15), WIDTH, 0.5],
  ["trees and chains", [...forest, ...SPECS.map((spec, i) => roundOf(5 + i, chain(spec), labels))], WIDTH, 1],
  ["bars", many(40), WIDTH, 0.3],
] as const)("a layout of %s that continues an earlier one", (_, rounds, width, zoom) => {
  const scale = scaleAt(zoom);
  const shapeOf = ({ resume: _resume, ...shape }: Layout) => shape;

  it("equals one from the start, at every step forwards and back", () => {
    let grown: Layout | undefined;
    const show = (shown: readonly Round[]) => {
      grown = layout(shown, width, scale, grown);
      expect(shapeOf(grown)).toEqual(shapeOf(layout(shown, width, scale)));
    };
    rounds.forEach((round, at) => {
      const before = rounds.slice(0, at);
      show([...before, { ...round, emitted: round.emitted.slice(0, 1), metrics: null }]);
      show([...before, round]);
    });
    for (const count of [rounds.length - 1, 7, 8, 0, rounds.length]) show(rounds.slice(0, count));
  });

  it("keeps the rows that no later round changes", () => {
    const before = layout(rounds.slice(0, -1), width, scale);
    const settled = before.resume?.settled ?? 0;
    const after = layout(rounds, width, scale, before);
    expect(settled).toBeGreaterThanOrEqual(before.resume ? 1 : 0);
    for (let row = 0; row < settled; row += 1) expect(after.rows[row]).toBe(before.rows[row]);
  });

  it("finds the row of every token", () => {
    const placed = layout(rounds, width, scale);
    for (const { drafted, emitted } of rounds) {
      for (const { key } of [...drafted, ...emitted]) {
        const row = placed.rows[rowOf(placed, key) ?? -1];
        const inBar = row?.bars.some(({ round }) => round.index === Number.parseInt(key, 10));
        expect(inBar || row?.nodes.some(({ token }) => token.key === key)).toBe(true);
      }
    }
    for (const missing of ["999:0", "0:77", "-1:0"]) expect(rowOf(placed, missing)).toBeNull();
  });
});

describe("a small zoom", () => {
  const rounds = many(220);

  it("shows each round as one bar, within the margins", () => {
    const scale = scaleAt(0.3);
    const bars = layout(rounds, WIDTH, scale).rows.flatMap((row) => row.bars);
    expect(bars.map((bar) => bar.round.index)).toEqual(rounds.map((round) => round.index));
    expect(Math.max(...bars.map((bar) => bar.x + bar.width))).toBeLessThanOrEqual(WIDTH - scale.margin);
  });

  it("fits 500 tokens into a panel", () => {
    const size = { width: 780, height: 480 };
    const zoom = fitZoom(rounds, size);
    expect(rounds.flatMap((round) => round.emitted).length).toBeGreaterThan(500);
    expect(layout(rounds, size.width, scaleAt(zoom)).height).toBeLessThanOrEqual(size.height);
  });
});

it("labels the token at which block verification cut a draft, and no token after it", () => {
  const round = roundOf(0, chain("addd+"));
  const tested = round.drafted.map((token) => ({
    ...token,
    verdict: token.verdict && { ...token.verdict, acceptance_prob: 0.3 },
  }));
  const placed = layout([{ ...round, drafted: tested }], WIDTH, FULL);
  expect(["0:1", "0:2", "0:3"].map((key) => find(placed, key)?.label === null)).toEqual([false, true, true]);
});
