import { describe, expect, it } from "vitest";
import { chain, roundOf } from "../testing/runs";
import { rowOf } from "./find";
import { layout } from "./layout";
import { type Step, step } from "./navigate";
import { scaleAt } from "./scale";

const rounds = ["aard+", "aaaa*", "rddd+"].map((spec, i) => roundOf(i, chain(spec)));
const placed = layout(rounds, 2000, scaleAt(1));

it("starts at the newest token", () => expect(step(placed, null, "left")).toBe("2:+"));
it("follows the text across rounds", () => {
  expect(step(placed, "0:1", "right")).toBe("0:+");
  expect(step(placed, "0:+", "right")).toBe("1:0");
  expect(step(placed, "1:0", "left")).toBe("0:+");
});
it("stays at the ends", () => {
  expect(step(placed, "0:0", "left")).toBe("0:0");
  expect(step(placed, "2:+", "right")).toBe("2:+");
});
it("goes down into a rejected branch, along it, and back up", () => {
  expect(step(placed, "0:+", "down")).toBe("0:2");
  expect(step(placed, "0:2", "right")).toBe("0:3");
  expect(step(placed, "0:3", "left")).toBe("0:2");
  expect(step(placed, "0:2", "up")).toBe("0:+");
});
it("goes from the first token of a branch to its parent", () => {
  expect(step(placed, "0:2", "left")).toBe("0:1");
  expect(step(placed, "2:0", "left")).toBe("1:+");
});
it("goes to the row below if there are no branches", () => {
  const narrow = layout(rounds, 260, scaleAt(1));
  const first = narrow.rows[0]?.nodes.find((node) => node.lane === 0);
  const below = step(narrow, first?.token.key ?? "", "down");
  expect(rowOf(narrow, below)).toBe(1);
});
it("moves by rounds if they are bars", () => {
  const far = layout(rounds, 2000, scaleAt(0.3));
  expect(step(far, "0:1", "right")).toBe("1:0");
  expect(step(far, "1:0", "left")).toBe("0:0");
});

describe("in a tree", () => {
  /** Accepted: 0 and 3. Siblings of 0: 1 and 2. Sibling of 3: 4, with the children 5 and 6. */
  const tree = roundOf(0, {
    extra: "bonus",
    nodes: [
      { parent: null, status: "accepted" },
      { parent: null, status: "discarded" },
      { parent: null, status: "discarded" },
      { parent: 0, status: "accepted" },
      { parent: 0, status: "discarded" },
      { parent: 4, status: "discarded" },
      { parent: 4, status: "discarded" },
    ],
  });
  const grown = layout([tree], 2000, scaleAt(1));
  const walk = (from: string, ...steps: Step[]) =>
    steps.reduce<string | null>((key, direction) => step(grown, key, direction), from);

  it("goes up and down between siblings, from the accepted one", () => {
    expect(walk("0:0", "down")).toBe("0:1");
    expect(walk("0:0", "down", "down")).toBe("0:2");
    expect(walk("0:2", "up", "up")).toBe("0:0");
    expect(walk("0:5", "down")).toBe("0:6");
  });
  it("goes right along a path and left to the parent", () => {
    expect(walk("0:3", "down")).toBe("0:4");
    expect(walk("0:4", "right")).toBe("0:5");
    expect(walk("0:6", "left")).toBe("0:4");
    expect(walk("0:4", "left")).toBe("0:0");
    expect(walk("0:5", "right")).toBe("0:5");
  });
});
