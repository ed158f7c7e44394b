import { describe, expect, it } from "vitest";
import { cardPosition } from "./TokenCard";

describe("the position of the card", () => {
  const view = { width: 1000, height: 800 };
  const box = (left: number, top: number) => new DOMRect(left, top, 20, 20);
  it("is below the token, above it near the bottom, and inside the window", () => {
    expect(cardPosition(box(100, 100), view)).toEqual({ left: 100, top: 126 });
    expect(cardPosition(box(100, 700), view)).toEqual({ left: 100, bottom: 106 });
    expect(cardPosition(box(990, 100), view).left).toBe(700);
  });
});
