import { describe, expect, it } from "vitest";
import { followTop } from "./geometry";

describe("following the newest round", () => {
  it("stays at the top while everything fits", () =>
    expect(followTop({ tops: [0, 100], height: 200 }, 300)).toBe(0));

  it("never cuts a row at the top", () => {
    const layout = { tops: [0, 100, 200, 300], height: 400 };
    for (const view of [130, 199, 200, 250, 399]) expect(layout.tops).toContain(followTop(layout, view) + 6);
    expect(followTop(layout, 250)).toBe(194);
    expect(followTop(layout, 310)).toBe(94);
  });

  it("shows a row that is higher than the view from its spine on", () =>
    expect(followTop({ tops: [0, 100], height: 900 }, 300)).toBe(94));
});
