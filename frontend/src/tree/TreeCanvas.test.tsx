// The tree on a canvas: the same tokens, pointer and keyboard as in SVG, and only changed rows drawn again.
import { readFileSync } from "node:fs";
import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Round, Run, Status } from "../run/model";
import { chain, IDLE, roundOf, STARTED } from "../testing/runs";
import { bushy } from "../testing/trees";
import { STATUS } from "../words/verdicts";
import { headerAt, keyAt } from "./hit";
import { layout } from "./layout";
import { toneOf } from "./palette";
import { type Picture, RowPainter } from "./rowPainter";
import { scaleAt } from "./scale";
import { TokenTree } from "./TokenTree";

/** What a figure consisted of when it was saved. */
const saved = vi.hoisted((): { canvas: boolean; tokens: number }[] => []);
vi.mock("../ui/figure/save", () => ({
  saveFigure: async (figure: HTMLElement) => {
    const tokens = figure.querySelectorAll("[data-key]").length;
    saved.push({ canvas: figure.querySelector("canvas") !== null, tokens });
  },
}));

const WIDTH = 780;
const rounds = ["aard+", "aaaa*", "rddd+"].map((spec, i) =>
  roundOf(i, chain(spec), (round, position) => ` ${round}-${position}`),
);
const running: Run = { ...IDLE, id: "r", phase: "running", started: STARTED, rounds };

/** Texts that were drawn, and areas that were cleared, since the last call of `taken`. */
const drawn = { texts: [] as string[], clears: 0 };
function taken() {
  const { texts, clears } = drawn;
  Object.assign(drawn, { texts: [], clears: 0 });
  return { texts, clears };
}

function fakeContext(): CanvasRenderingContext2D {
  const known: Record<string, unknown> = {
    globalAlpha: 1,
    fillText: (text: string) => drawn.texts.push(text),
    clearRect: () => {
      drawn.clears += 1;
    },
  };
  return new Proxy(known, {
    get: (target, name: string) => target[name] ?? (() => {}),
  }) as unknown as CanvasRenderingContext2D;
}

beforeEach(() => {
  taken();
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  vi.stubGlobal("Path2D", class {});
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockImplementation(() => fakeContext() as never);
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(WIDTH);
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(500);
});
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("what is at a place", () => {
  const shapes = [chain("aard+"), bushy(32, 3, 2), bushy(24, 24, 0), chain("?????", false)];
  const many = Array.from({ length: 12 }, (_, i) => roundOf(i, shapes[i % shapes.length] as never));

  it.each([2, 1, 0.5])("is the token whose node is there, at zoom %s", (zoom) => {
    const placed = layout(many, WIDTH, scaleAt(zoom));
    const nodes = placed.rows.flatMap((row, at) =>
      row.nodes.map((node) => ({ node, top: placed.tops[at] ?? 0 })),
    );
    expect(nodes.length).toBeGreaterThan(100);
    const wrong = nodes.filter(({ node, top }) => keyAt(placed, node.x, top + node.y) !== node.token.key);
    expect(wrong.map(({ node }) => node.token.key)).toEqual([]);
  });

  it("is a round where rounds are bars", () => {
    const placed = layout(many, WIDTH, scaleAt(0.2));
    for (const [at, row] of placed.rows.entries())
      for (const bar of row.bars) {
        const key = keyAt(placed, bar.x + bar.width / 2, (placed.tops[at] ?? 0) + bar.height / 2);
        expect(Number.parseInt(key ?? "", 10)).toBe(bar.round.index);
      }
  });

  it("is nothing between tokens, and outside", () => {
    const placed = layout(many, WIDTH, scaleAt(1));
    expect(keyAt(placed, 1, 1)).toBeNull();
    expect(keyAt(placed, 20, placed.height + 1000)).toBeNull();
    expect(keyAt(layout([], WIDTH, scaleAt(1)), 20, 20)).toBeNull();
  });

  it("is a header above the tokens", () => {
    const placed = layout(rounds, WIDTH, scaleAt(1));
    const segment = placed.rows[0]?.segments[1];
    if (!segment) throw new Error("The first row has one round.");
    expect(headerAt(placed, segment.x + 3, (placed.tops[0] ?? 0) + 5)?.round.index).toBe(1);
    expect(headerAt(placed, segment.x + 3, (placed.tops[0] ?? 0) + 60)).toBeNull();
  });
});

describe("the painter", () => {
  const scale = scaleAt(1);
  const long = Array.from({ length: 60 }, (_, i) => roundOf(i, chain("aard+")));
  const pictureOf = (shown: readonly Round[], before?: Picture): Picture => ({
    ...{ layout: layout(shown, WIDTH, scale, before?.layout), from: 0, height: 4000 },
    ...{ showSources: false, attention: null, flowPx: 0, hovered: null, selected: null, active: null },
  });
  const painter = () => {
    const canvas = document.createElement("canvas");
    return new RowPainter(canvas, fakeContext());
  };

  it("draws all rows once, then only those that changed", () => {
    const one = painter();
    const first = pictureOf(long.slice(0, 59));
    expect(one.paint(first)).toBe(first.layout.rows.length);
    expect(one.paint(first)).toBe(0);
    const next = pictureOf(long, first);
    expect(next.layout.rows.length).toBeGreaterThan(5);
    expect(one.paint(next)).toBeLessThanOrEqual(2);
    expect(one.paint({ ...next, hovered: "0:0" })).toBe(1);
  });

  it("draws all rows again when the window moves, or an earlier state is shown", () => {
    const one = painter();
    const picture = pictureOf(long);
    one.paint(picture);
    expect(one.paint({ ...picture, from: 120 })).toBeGreaterThan(5);
    const earlier = pictureOf(long.slice(0, 10));
    expect(one.paint({ ...earlier, from: 120 })).toBeGreaterThan(0);
    taken();
    expect(one.paint({ ...earlier, from: 120 })).toBe(0);
    expect(taken().clears).toBe(0);
  });

  it("moves only rows with pending tokens", () => {
    const one = painter();
    const picture = pictureOf([...long, roundOf(60, chain("???", false))]);
    one.paint(picture);
    expect(one.paint({ ...picture, flowPx: 1 })).toBe(1);
    const still = pictureOf(long);
    one.paint(still);
    expect(one.paint({ ...still, flowPx: 1 })).toBe(0);
  });
});

it("every status has a colour of the page", () => {
  const theme = readFileSync("src/theme.css", "utf8");
  const statuses = Object.keys(STATUS) as Status[];
  expect(statuses.length).toBeGreaterThan(6);
  expect(statuses.filter((status) => !theme.includes(`${toneOf(status)}:`))).toEqual([]);
});

describe("a tree that grows fast", () => {
  const onHover = vi.fn();
  const onSelect = vi.fn();
  const tree = (run: Run, rapid: boolean) => (
    <TokenTree run={run} hovered={null} selected={null} rapid={rapid} onHover={onHover} onSelect={onSelect} />
  );
  const show = (rapid = true, run: Run = running) => render(tree(run, rapid));
  const canvas = () => document.querySelector("canvas");

  it("is a canvas with every token, and the newest round in words", () => {
    show();
    expect(canvas()).toBeTruthy();
    const all = rounds.flatMap(({ drafted, emitted }) => [...drafted, ...emitted]);
    const tokens = all.filter(({ status }) => status !== "discarded"); // those are dots in a chain
    const labels = new Set(tokens.map(({ label }) => label.replace(" ", "·")));
    expect(labels.size).toBeGreaterThan(8);
    expect(new Set(taken().texts.filter((text) => text.startsWith("·")))).toEqual(labels);
    expect(screen.getAllByRole("treeitem").map((item) => item.getAttribute("aria-label"))).toEqual([
      expect.stringMatching(/^Newest round: round 3, 4 drafted, 1 rejected, 3 discarded/),
    ]);
  });

  it("is SVG when it no longer grows", () => {
    const { rerender } = show();
    rerender(tree({ ...running, phase: "done" }, false));
    expect(canvas()).toBeNull();
    expect(screen.getAllByRole("treeitem").length).toBeGreaterThan(10);
  });

  it("is SVG for the keyboard, so that a screen reader reads the token it is on", () => {
    show();
    fireEvent.keyDown(screen.getByRole("tree"), { key: "Home" });
    expect(canvas()).toBeNull();
    const active = screen.getByRole("tree").getAttribute("aria-activedescendant");
    expect(document.getElementById(active ?? "")?.getAttribute("aria-label")).toMatch(/^round 1, position 1/);
    act(() => screen.getByRole("tree").dispatchEvent(new FocusEvent("focusout", { bubbles: true })));
    expect(canvas()).toBeTruthy();
  });

  it("is SVG while it is saved as a figure, and a canvas again after that", async () => {
    show();
    fireEvent.keyDown(screen.getByRole("button", { name: "Save the figure Token tree" }), { key: "Enter" });
    fireEvent.click(await screen.findByRole("menuitem", { name: "Save as SVG" }));
    await waitFor(() => expect(saved).toEqual([{ canvas: false, tokens: expect.any(Number) }]));
    expect(saved[0]?.tokens).toBeGreaterThan(10);
    await waitFor(() => expect(canvas()).toBeTruthy());
  });

  it("reports the token under the pointer, and selects it", () => {
    show();
    const placed = layout(rounds, WIDTH, scaleAt(1));
    const node = placed.rows[0]?.nodes.find(({ token }) => token.status === "rejected");
    if (!node) throw new Error("No token was rejected.");
    const place = { clientX: node.x, clientY: (placed.tops[0] ?? 0) + node.y };
    fireEvent.pointerMove(screen.getByRole("tree"), place);
    expect(onHover).toHaveBeenLastCalledWith(node.token.key);
    fireEvent.click(screen.getByRole("tree"), place);
    expect(onSelect).toHaveBeenLastCalledWith(node.token.key);
  });

  it("has the times of a round in the title of its header", () => {
    show();
    const placed = layout(rounds, WIDTH, scaleAt(1));
    fireEvent.pointerMove(screen.getByRole("tree"), { clientX: 30, clientY: (placed.tops[0] ?? 0) + 4 });
    expect(screen.getByRole("tree").getAttribute("title")).toMatch(/^Round 1, measured: /);
  });
});
