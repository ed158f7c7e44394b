import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { BusyScene } from "./BusyScene";

beforeEach(() => {
  render(<BusyScene run={null} />);
});
afterEach(cleanup);

const press = (name: string, key: string) => fireEvent.keyDown(screen.getByRole("slider", { name }), { key });
const gain = () => screen.getByRole("status").textContent;
const arithmetic = () => screen.getByText(/^\d+ requests?: .*computed\.$/).textContent;

it("explains a batch by its arithmetic", () => {
  expect(arithmetic()).toMatch(
    /^1 request: 3\.36 tokens a round × 1\.00 passes .* ÷ 1\.20 passes with one = 2\.80×/,
  );
  press("Requests", "End");
  expect(arithmetic()).toMatch(/^256 requests: 3\.36 tokens a round × 2\.56 passes .* = 0\.65×/);
});

it("finds the batch up to which drafting pays", () => {
  expect(gain()).toBe(
    "Drafting pays up to a batch of 32 requests. A larger batch is slower with drafts. Computed.",
  );
  press("Free rows F", "Home");
  expect(gain()).toBe("Drafting does not pay, not even for one request. Computed.");
});
