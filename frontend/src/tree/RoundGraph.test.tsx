// One round as a graph: every token once, reachable by pointer and keyboard.
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Run } from "../run/model";
import { chain, IDLE, roundOf, STARTED } from "../testing/runs";
import { bushy } from "../testing/trees";
import { Forces } from "./forces";
import { graphOf, ROOT_KEY, stepInGraph } from "./graph";
import { RoundGraph } from "./RoundGraph";

const SIZE = { width: 700, height: 400 };
const wide = roundOf(1, bushy(14, 2, 2));
const rounds = [roundOf(0, chain("aard+")), wide, roundOf(2, chain("???", false))];
const run: Run = { ...IDLE, id: "r", phase: "running", started: STARTED, rounds };
const onHover = vi.fn();
const onSelect = vi.fn();

beforeEach(() => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  vi.stubGlobal("matchMedia", () => ({ matches: true })); // less motion: places are final at once
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(SIZE.width);
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(SIZE.height);
});
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.clearAllMocks();
});

const show = (selected: string | null = null, flowing = false) =>
  render(<RoundGraph {...{ run, flowing, selected, onHover, onSelect }} hovered={null} />);
const keys = () => screen.getAllByRole("treeitem").map((item) => item.getAttribute("data-key"));

describe("the graph of a round", () => {
  it("joins every token to its parent", () => {
    const { nodes, edges } = graphOf(wide);
    expect(nodes).toHaveLength(1 + wide.drafted.length + 1);
    expect(new Set(edges.map(({ to }) => to)).size).toBe(edges.length);
    const depth = new Map(nodes.map((node) => [node.key, node.depth]));
    for (const { from, to } of edges) expect(depth.get(to)).toBe((depth.get(from) ?? 0) + 1);
    expect(edges.filter(({ from }) => from === ROOT_KEY)).toHaveLength(2);
    const extra = edges.find(({ to }) => to === "1:+");
    expect(extra?.from).toBe(wide.emitted.at(-2)?.key);
  });

  it("is walked along paths and between siblings", () => {
    const graph = graphOf(wide);
    const first = stepInGraph(graph, null, "right");
    expect(first).toBe("1:0");
    expect(stepInGraph(graph, first, "down")).toBe("1:1");
    expect(stepInGraph(graph, "1:1", "down")).toBe("1:1");
    expect(stepInGraph(graph, "1:0", "right")).toBe("1:2");
    expect(stepInGraph(graph, "1:2", "left")).toBe("1:0");
    expect(stepInGraph(graph, "1:0", "left")).toBe("1:0");
    expect(stepInGraph(graph, "1:0", "last")).toBe("1:+");
  });
});

describe("the forces", () => {
  it("keep all tokens inside the picture and apart, and are the same every time", () => {
    const placed = [0, 1].map(() => {
      const forces = new Forces(graphOf(wide), SIZE, new Map());
      forces.settle();
      return [...forces.places()];
    });
    expect(placed[0]).toEqual(placed[1]);
    const places = (placed[0] ?? []).map(([, place]) => place);
    for (const { x, y } of places) {
      expect(x >= 0 && x <= SIZE.width && y >= 0 && y <= SIZE.height).toBe(true);
    }
    const distances = places.flatMap((a, at) =>
      places.slice(at + 1).map((b) => Math.hypot(a.x - b.x, a.y - b.y)),
    );
    expect(Math.min(...distances)).toBeGreaterThan(20);
  });

  it("leave a token where it is held", () => {
    const forces = new Forces(graphOf(wide), SIZE, new Map());
    forces.hold("1:0", { x: 100, y: 90 });
    forces.settle();
    expect(forces.places().get("1:0")).toEqual({ x: 100, y: 90 });
  });
});

describe("the picture", () => {
  it("shows the newest round, or that of the selected token, or another one", () => {
    show("1:3");
    expect(keys()).toHaveLength(15);
    fireEvent.click(screen.getByRole("button", { name: "Next round" }));
    expect(keys()).toEqual(["2:0", "2:1", "2:2"]);
    expect(screen.getByText("round 3 of 3")).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "selected" }));
    expect(keys()).toContain("1:3");
    cleanup();
    show();
    expect(keys()).toEqual(["2:0", "2:1", "2:2"]);
  });

  it("has the tree's keyboard", () => {
    show("1:0");
    const tree = screen.getByRole("tree");
    fireEvent.keyDown(tree, { key: "Home" });
    fireEvent.keyDown(tree, { key: "ArrowDown" });
    expect(onHover).toHaveBeenLastCalledWith("1:1");
    const active = document.getElementById(tree.getAttribute("aria-activedescendant") ?? "");
    expect(active?.getAttribute("aria-label")).toMatch(/^round 2, position 1, .*sibling 2 of 2/);
    fireEvent.keyDown(tree, { key: "Enter" });
    expect(onSelect).toHaveBeenLastCalledWith("1:1");
  });

  it("selects with a click, not with a drag", () => {
    show("1:0");
    const node = screen.getAllByRole("treeitem")[3] as HTMLElement;
    fireEvent.pointerDown(node, { clientX: 10, clientY: 10 });
    fireEvent.pointerMove(screen.getByRole("tree"), { clientX: 60, clientY: 40 });
    fireEvent.pointerUp(screen.getByRole("tree"));
    fireEvent.click(node);
    expect(onSelect).not.toHaveBeenCalled();
    fireEvent.pointerDown(node, { clientX: 10, clientY: 10 });
    fireEvent.pointerUp(screen.getByRole("tree"));
    fireEvent.click(node);
    expect(onSelect).toHaveBeenLastCalledWith("1:3");
  });

  it("moves its pending edges only while a round is under way", () => {
    const { container } = show(null, true);
    expect(container.querySelectorAll(".is-flowing .tt-edge.is-waiting")).toHaveLength(3);
    cleanup();
    expect(show().container.querySelector(".is-flowing")).toBeNull();
  });
});
