import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Store } from "../../app/store";
import { StoreContext } from "../../app/useStore";
import { seekRound } from "../../run/playback";
import { FakeEnvironment } from "../../testing/environment";
import { done, roundOf, started, warning } from "../../testing/messages";
import { Notices } from "./Notices";

let environment: FakeEnvironment;
let store: Store;

beforeEach(async () => {
  localStorage.clear();
  environment = new FakeEnvironment();
  store = new Store(environment);
  await store.connect();
  store.start();
  render(
    <StoreContext value={store}>
      <Notices />
    </StoreContext>,
  );
});
afterEach(cleanup);

const warnings = () => screen.getByRole("log", { name: "Warnings of the run" });
const words = () => [...warnings().querySelectorAll("p")].map(({ textContent }) => textContent);
const receive = (events: Parameters<FakeEnvironment["receive"]>[0]) => act(() => environment.receive(events));
const seek = (rounds: number) => act(() => store.playback((play) => seekRound(play, rounds)));

const WORDS = "Round 2: The drafter failed. Choose another drafter.";

it("shows a warning with its round, counted from 1, from that round on", () => {
  receive([started(), ...roundOf(0, ["a"], 1, "b")]);
  expect(words()).toEqual([]);
  receive([warning({ round: 1 }), ...roundOf(1, [], 0, "c")]);
  expect(words()).toEqual([WORDS]);
  receive([...roundOf(2, [], 0, "d"), done()]);
  seek(1);
  expect(words()).toEqual([]);
  seek(2);
  expect(words()).toEqual([WORDS]);
});

it("takes a warning away for good when it is dismissed, and leaves the others", () => {
  receive([started(), warning({ round: 1 }), warning({ round: 1, message: "It is slow.", hint: "Wait." })]);
  receive([...roundOf(1, [], 0, "c"), done()]);
  fireEvent.click(within(warnings()).getAllByRole("button", { name: "Dismiss" })[0] as HTMLElement);
  expect(words()).toEqual(["Round 2: It is slow. Wait."]);
  seek(0);
  seek(1);
  expect(words()).toEqual(["Round 2: It is slow. Wait."]);
});

it("leaves the lines that are there in place, and announces no region as a whole", () => {
  receive([started(), warning()]);
  const first = warnings().firstElementChild;
  receive([warning({ message: "It is slow." })]);
  expect(warnings().firstElementChild).toBe(first);
  expect(words()).toHaveLength(2);
  act(() => store.notify("It broke.", "Mend it."));
  // An alert is announced as a whole unless it is marked otherwise.
  for (const region of [screen.getByRole("alert"), warnings()]) {
    expect(region.getAttribute("aria-atomic")).toBe("false");
  }
});
