import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Store } from "../../app/store";
import { StoreContext } from "../../app/useStore";
import type { NoiseFloor, ServerMessage } from "../../protocol/generated";
import { FakeEnvironment } from "../../testing/environment";
import { done, started } from "../../testing/messages";
import { ExactnessBadge } from "./ExactnessBadge";

const FLOOR: NoiseFloor = {
  mean_total_variation: 0.028,
  max_total_variation: 0.055,
  argmax_agreement: 1,
  tokens: 16,
  context_tokens: 512,
  rows: 5,
  proven: false,
};
const DEPARTURE = { position: 234, plain_token: " b", speculative_token: " a", margin: 0.01 };

let environment: FakeEnvironment;
let store: Store;

beforeEach(async () => {
  localStorage.clear();
  environment = new FakeEnvironment();
  store = new Store(environment);
  await store.connect();
  render(
    <StoreContext value={store}>
      <ExactnessBadge />
    </StoreContext>,
  );
});
afterEach(cleanup);

function run(...messages: ServerMessage[]) {
  act(() => store.start());
  act(() => environment.receive(messages));
}
const badge = () => screen.getByRole("button", { name: /^Exactness: / });
const popover = () => {
  fireEvent.click(badge());
  return screen.getByRole("dialog", { name: "Exactness" }).textContent;
};

it("marks a run whose greedy text departs, and explains it with the run's own noise floor", () => {
  run(started({ noise_floor: FLOOR }), done({ departure: DEPARTURE }));
  expect(badge().textContent).toBe("Exactness: exact · departs at token 235");
  expect(badge().getAttribute("data-status")).toBe("resampled");
  expect(popover()).toContain(
    "departs from plain decoding at token 235: '\u00a0a' instead of '\u00a0b'. A near tie.",
  );
});

it("marks nothing where the texts agree, or where none is known to compare with", () => {
  run(started({ noise_floor: FLOOR }), done());
  expect(badge().textContent).toBe("Exactness: exact");
  expect(badge().getAttribute("data-status")).toBe("accepted");
  expect(popover()).not.toContain("Departure.");
});

it("shows the noise floor with its context and rows", () => {
  run(started({ noise_floor: FLOOR }), done());
  expect(popover()).toContain(
    "Measured at 512 tokens of context, 5 rows per pass: 0.028 on average, 0.055 at most",
  );
});

it("shows that greedy text is that of plain decoding bit for bit, where that is proven", () => {
  const proven = { ...FLOOR, mean_total_variation: 0, max_total_variation: 0, proven: true };
  run(started({ noise_floor: proven }), done());
  expect(badge().textContent).toBe("Exactness: exact · bit for bit");
  expect(popover()).toContain("0 by proof");
});

it("claims nothing of the kind for a lossy rule", () => {
  const proven = { ...FLOOR, mean_total_variation: 0, max_total_variation: 0, proven: true };
  run(started({ noise_floor: proven, exactness: { label: "lossy", reason: "its rule" } }), done());
  expect(badge().textContent).toBe("Exactness: lossy");
});

it("claims nothing of the kind where a text departs", () => {
  const proven = { ...FLOOR, mean_total_variation: 0, max_total_variation: 0, proven: true };
  run(started({ noise_floor: proven }), done({ departure: DEPARTURE }));
  expect(badge().textContent).toBe("Exactness: exact · departs at token 235");
});

it("forgets the departure of an earlier run", () => {
  run(started(), done({ departure: DEPARTURE }));
  run(started({ run: "next" }));
  expect(badge().textContent).toBe("Exactness: exact");
});
