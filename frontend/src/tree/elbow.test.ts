import { expect, it } from "vitest";
import { elbow } from "./elbow";

it("rounds the corners of a line", () => {
  expect(
    elbow(
      [
        [0, 0],
        [10, 0],
        [10, 20],
      ],
      4,
    ),
  ).toBe("M0,0L6,0Q10,0 10,4L10,20");
});
it("takes at most half of a side", () => {
  expect(
    elbow(
      [
        [0, 0],
        [4, 0],
        [4, 20],
      ],
      8,
    ),
  ).toBe("M0,0L2,0Q4,0 4,2L4,20");
});
it("ignores repeated points, and is empty without points", () => {
  expect(
    elbow(
      [
        [0, 0],
        [0, 0],
        [5, 0],
      ],
      4,
    ),
  ).toBe("M0,0L5,0");
  expect(elbow([], 4)).toBe("");
});
