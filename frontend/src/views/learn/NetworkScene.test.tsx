import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { NetworkScene } from "./NetworkScene";

beforeEach(() => {
  render(<NetworkScene run={null} seed={1} />);
});
afterEach(cleanup);

const press = (name: string, key: string) => fireEvent.keyDown(screen.getByRole("slider", { name }), { key });
const fastest = () => screen.getByRole("status").textContent ?? "";
const rates = () =>
  [...(screen.getByRole("img").getAttribute("aria-label") ?? "").matchAll(/([\d.]+) tokens\/s/g)].map(
    (found) => Number(found[1]),
  );

it("names the fastest mode and the rate of each", () => {
  const [perCall = 0, streaming = 0, drafts = 0, ahead = 0, there = 0] = rates();
  expect(perCall).toBeCloseTo(1000 / 90, 1);
  expect(perCall).toBeLessThan(streaming);
  expect(ahead).toBeGreaterThanOrEqual(drafts);
  expect(there).toBeGreaterThan(drafts);
  expect(fastest()).toMatch(/^Fastest: .*Computed\.$/);
});

it("shows that drafts which are never accepted do not pay", () => {
  press("Acceptance α", "Home");
  expect(fastest()).toMatch(/^Fastest: one streaming call, .* Drafts do not pay here/);
});

it("makes one call for each token as fast as a stream without a round trip", () => {
  press("Round trip", "Home");
  const [perCall, streaming] = rates();
  expect(perCall).toBe(streaming);
});

it("states what drafting here gains for a busy target, with the present costs", () => {
  expect(screen.getByText(/serves 1\.40 times as many clients/)).toBeTruthy();
  press("Drafted token", "Home");
  expect(screen.getByText(/serves 1\.00 times as many clients/)).toBeTruthy();
});
