import { fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Round, Run } from "../run/model";
import { metrics } from "../testing/messages";
import { chain, IDLE, PLAN, roundOf, STARTED, STARTED_REMOTE } from "../testing/runs";
import { bushy } from "../testing/trees";
import { TokenTree } from "./TokenTree";

const rounds = ["aard+", "aaaa*"].map((spec, i) => roundOf(i, chain(spec)));
const run: Run = { ...IDLE, id: "r", phase: "done", started: STARTED, rounds };
const onHover = vi.fn();
const onSelect = vi.fn();

function show(shown: Run = run, highlight: { hovered?: string; selected?: string } = {}) {
  const { hovered = null, selected = null } = highlight;
  return render(
    <TokenTree run={shown} hovered={hovered} selected={selected} onHover={onHover} onSelect={onSelect} />,
  );
}

const item = (name: RegExp) => screen.getByRole("treeitem", { name });

beforeEach(() => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(780);
  vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(500);
});
afterEach(() => {
  document.body.replaceChildren();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.clearAllMocks();
});

describe("the token tree", () => {
  it("draws every token as a named node", () => {
    show();
    expect(screen.getAllByRole("treeitem")).toHaveLength(10);
    expect(item(/^round 1, position 3, ' token'', rejected, acceptance probability 0\.\d\d$/)).toBeTruthy();
    expect(item(/^round 1, position 3, ' token', resampled$/)).toBeTruthy();
  });

  it("has the times of a round, and the plan of auto as expected, in the tooltip of its header", () => {
    const [first, second] = rounds;
    const metrics = first?.metrics && { ...first.metrics, plan: PLAN };
    show({ ...run, rounds: first && second ? [{ ...first, metrics: metrics ?? null }, second] : [] });
    const titles = [...document.querySelectorAll("title")].map(({ textContent }) => textContent);
    expect(titles[0]).toMatch(/^Round 1, measured: .*\)\nExpected: Draft model, 3 tokens: /);
    expect(titles[1]).toMatch(/^Round 2, measured: [^\n]*\)$/);
  });

  it("reports the token under the pointer, and the selected one", () => {
    show();
    const node = item(/resampled/);
    fireEvent.pointerMove(node);
    expect(onHover).toHaveBeenLastCalledWith("0:+");
    fireEvent.click(node);
    expect(onSelect).toHaveBeenLastCalledWith("0:+");
    fireEvent.pointerLeave(screen.getByRole("tree"));
    expect(onHover).toHaveBeenLastCalledWith(null);
  });

  it("shows the figures of the token under the pointer", () => {
    show();
    fireEvent.pointerMove(item(/round 1, position 1/));
    expect(screen.getAllByText("acceptance prob.").length).toBeGreaterThan(0);
  });

  it("highlights a token that the pointer is on in the text", () => {
    show(run, { hovered: "1:2" });
    expect(item(/round 2, position 3/).parentElement?.classList).toContain("is-lit");
  });

  it("moves with the arrow keys and selects with Enter", () => {
    show();
    const tree = screen.getByRole("tree");
    fireEvent.keyDown(tree, { key: "ArrowLeft" });
    expect(onHover).toHaveBeenLastCalledWith("1:+");
    fireEvent.keyDown(tree, { key: "Home" });
    fireEvent.keyDown(tree, { key: "ArrowRight" });
    fireEvent.keyDown(tree, { key: "ArrowRight" });
    fireEvent.keyDown(tree, { key: "ArrowDown" });
    expect(onHover).toHaveBeenLastCalledWith("0:2");
    expect(document.getElementById(tree.getAttribute("aria-activedescendant") ?? "")).toBe(item(/rejected/));
    fireEvent.keyDown(tree, { key: "Enter" });
    expect(onSelect).toHaveBeenLastCalledWith("0:2");
  });

  it("clears the selection with Escape", () => {
    show(run, { selected: "0:2" });
    expect(item(/rejected/).getAttribute("aria-selected")).toBe("true");
    fireEvent.keyDown(screen.getByRole("tree"), { key: "Escape" });
    expect(onSelect).toHaveBeenLastCalledWith(null);
  });

  it("stops following when the reader scrolls, and starts again with the button", () => {
    show();
    const tree = screen.getByRole("tree");
    vi.spyOn(tree, "scrollHeight", "get").mockReturnValue(2000);
    const button = screen.getByRole("button", { name: "Follow the newest round" });
    expect(button.getAttribute("aria-pressed")).toBe("true");
    fireEvent.wheel(tree, { deltaY: -50 });
    expect(button.getAttribute("aria-pressed")).toBe("false");
    fireEvent.click(button);
    expect(button.getAttribute("aria-pressed")).toBe("true");
  });

  it("fits the whole run or follows its end, never both", () => {
    show();
    const pressed = () =>
      ["Fit the whole run", "Follow the newest round"].map((name) =>
        screen.getByRole("button", { name }).getAttribute("aria-pressed"),
      );
    fireEvent.click(screen.getByRole("button", { name: "Fit the whole run" }));
    expect(pressed()).toEqual(["true", "false"]);
    fireEvent.click(screen.getByRole("button", { name: "Follow the newest round" }));
    expect(pressed()).toEqual(["false", "true"]);
    fireEvent.click(screen.getByRole("button", { name: "Fit the whole run" }));
    fireEvent.click(screen.getByRole("button", { name: "Zoom in" }));
    expect(pressed()).toEqual(["false", "false"]);
  });

  it("counts the emitted tokens, not the pending ones", () => {
    show({ ...run, phase: "running", rounds: [...rounds, roundOf(2, chain("??", false))] });
    expect(screen.getByText("· 8 tokens")).toBeTruthy();
  });

  it("renders only the visible rows", () => {
    const long = Array.from({ length: 400 }, (_, i) => roundOf(i, chain("aard+")));
    show({ ...run, rounds: long });
    expect(screen.getAllByRole("treeitem").length).toBeLessThan(500);
  });

  it("has a legend", () => {
    show();
    const header = within(screen.getByRole("region", { name: "Token tree" }));
    for (const name of [
      "accepted",
      "rejected",
      "resampled",
      "bonus",
      "pending",
      "discarded",
      "size = entropy",
    ]) {
      expect(header.getByRole("button", { name })).toBeTruthy();
    }
    expect(header.queryByRole("button", { name: "plain" })).toBeNull();
  });

  it("explains squares where there are some", () => {
    const round = roundOf(2, chain("="));
    show({ ...run, rounds: [...rounds, round], latest: metrics(2, 0, { plain: 1 }) });
    expect(screen.getByRole("button", { name: "plain" })).toBeTruthy();
    document.body.replaceChildren();
    const watched = {
      server: "http://there",
      route: "/v1/completions",
      engine: null,
      status: 200,
      streamed: true,
    };
    show({ ...run, started: { ...STARTED, watched } });
    expect(screen.getByRole("button", { name: "received" })).toBeTruthy();
  });

  it("explains a target without probabilities, and fills no rejected node", () => {
    const blind = rounds.map((round) => ({
      ...round,
      drafted: round.drafted.map((token) => ({
        ...token,
        compared: token.status !== "discarded",
        verdict: token.verdict && { ...token.verdict, acceptance_prob: null },
      })),
    }));
    show({ ...run, started: STARTED_REMOTE, rounds: blind });
    const header = within(screen.getByRole("region", { name: "Token tree" }));
    expect(header.getByRole("button", { name: "filled = the target drew the same token" })).toBeTruthy();
    expect(header.queryByRole("button", { name: /acceptance probability/ })).toBeNull();
    expect(header.getByRole("button", { name: "network" })).toBeTruthy();
    expect(item(/rejected, the target drew another token$/).querySelector(".tt-disc")).toBeNull();
  });

  describe("of branches", () => {
    const sources = ["model", "ngram"];
    const drafted = (round: Round): Round => ({
      ...round,
      drafted: round.drafted.map((token, node) => ({
        ...token,
        draft: token.draft && { ...token.draft, source: sources[node % 2] ?? "" },
      })),
    });
    const tree: Run = {
      ...run,
      rounds: [rounds[0] as Round, drafted(roundOf(1, bushy(14, 2, 2))), roundOf(2, chain("aaaa*"))],
      sources,
    };
    const branch = (name: RegExp) => item(name).parentElement?.classList;

    it("shows the tokens that the node under the pointer attends to, in the drawing and in a line", () => {
      show(tree, { hovered: "1:3" });
      expect(branch(/^round 2, position 1, .*sibling 1 of 2/)).toContain("is-attended");
      expect(branch(/^round 2, position 1, .*sibling 2 of 2/)).toContain("is-unattended");
      expect(document.querySelectorAll(".tt-node.is-attended")).toHaveLength(2);
      expect(
        screen.getByText(/attends to the whole text, 1 drafted token before it, and itself/),
      ).toBeTruthy();
      expect(screen.getByText(/12 other nodes are hidden from it\.$/)).toBeTruthy();
      expect(branch(/^round 1, position 1,/)).not.toContain("is-unattended");
    });

    it("dims nothing without a pointer, nor in a chain", () => {
      show(tree, { hovered: "0:0" });
      expect(document.querySelector(".is-attending, .tt-caption")).toBeNull();
    });

    it("shows the drafters if there are several", () => {
      show(tree);
      const header = screen.getByRole("region", { name: "Token tree" });
      for (const name of ["draft model", "prompt lookup"]) {
        expect(within(header).getByRole("button", { name })).toBeTruthy();
      }
      expect(document.querySelectorAll(".tt-source").length).toBeGreaterThan(2);
      expect(item(/^round 2, position 1, .*sibling 2 of 2.* from prompt lookup$/)).toBeTruthy();
    });

    it("shows no drafter if there is one", () => {
      show({ ...tree, sources: ["model"] });
      expect(screen.queryByRole("button", { name: "draft model" })).toBeNull();
      expect(document.querySelector(".tt-source")).toBeNull();
    });

    it("explains the rule", () => {
      show({ ...tree, started: { ...STARTED, rule: "typical" } });
      expect(screen.getByRole("button", { name: "filled = probable enough" })).toBeTruthy();
    });
  });

  it("describes itself before a run", () => {
    show(IDLE);
    expect(screen.getByText(/The rounds of a run appear here/)).toBeTruthy();
  });
});
