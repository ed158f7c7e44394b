import { expect, it } from "vitest";
import { colourOf, paintOf } from "./colour";

it.each([
  ["rgb(255, 0, 16)", { hex: "#ff0010", opacity: 1 }],
  ["rgba(0, 0, 0, 0.5)", { hex: "#000000", opacity: 0.5 }],
  ["rgb(1 2 3 / 0.25)", { hex: "#010203", opacity: 0.25 }],
  ["color(srgb 1 0.5 0 / 0.18)", { hex: "#ff8000", opacity: 0.18 }],
  ["color(srgb 0 0 0)", { hex: "#000000", opacity: 1 }],
  ["rgba(0, 0, 0, 0)", null],
  ["none", null],
  ["oklch(1 0 0)", null],
])("%s", (computed, colour) => expect(colourOf(computed)).toEqual(colour));

it("paints with attributes", () => {
  expect(paintOf("fill", "rgb(0, 0, 0)")).toEqual({ fill: "#000000" });
  expect(paintOf("stroke", "rgba(0, 0, 0, 0.5)")).toEqual({ stroke: "#000000", "stroke-opacity": "0.5" });
  expect(paintOf("fill", 'url("#a1")')).toEqual({ fill: "url(#a1)" });
  expect(paintOf("fill", "none")).toEqual({ fill: "none" });
});
