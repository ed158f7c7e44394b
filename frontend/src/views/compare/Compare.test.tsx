import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { act } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { PLAIN } from "../../app/lanes";
import { RaceStore } from "../../app/race";
import { Store } from "../../app/store";
import { RaceContext, SweepContext } from "../../app/useRace";
import { StoreContext } from "../../app/useStore";
import type { ServerMessage, SettingsInfo } from "../../protocol/generated";
import { FakeEnvironment } from "../../testing/environment";
import { done, metrics, roundOf, started } from "../../testing/messages";
import { Compare } from "./Compare";

const DRAFTED = { policy: "fixed", drafter: "ngram", k: 2 } as const;
let environment: FakeEnvironment;
let store: Store;
let race: RaceStore;
let sweep: RaceStore;

/** A run of two rounds, each of `ms`; its second round draws `last`. */
function runOf(id: string, ms: number, last: string, drafted: boolean): ServerMessage[] {
  const words = drafted ? ["a"] : [];
  const rounds = [0, 1].flatMap((at) => [
    ...roundOf(at, words, words.length, at === 1 ? last : "b").slice(0, -1),
    metrics(at, words.length, { round_ms: ms }),
  ]);
  return [started(), ...rounds, done()].map((message) => ({ ...message, run: id }));
}

const SETTINGS = {
  ranges: {},
  defaults: {},
  profiles: [],
  rules: [],
  pass_times: [],
  auto_drafters: [],
  prediction_drafters: [],
};

async function shown(): Promise<void> {
  await act(async () => {
    render(
      <StoreContext value={store}>
        <RaceContext value={race}>
          <SweepContext value={sweep}>
            <Compare />
          </SweepContext>
        </RaceContext>
      </StoreContext>,
    );
    await new Promise((resolve) => setTimeout(resolve));
  });
}

const click = (name: RegExp) => fireEvent.click(screen.getByRole("button", { name }));
const laneCount = () => screen.getAllByRole("group", { name: /^Lane/ }).length;

beforeEach(() => {
  localStorage.clear();
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  );
  environment = new FakeEnvironment();
  location.hash = "";
  store = new Store(environment);
  race = new RaceStore(environment, () => false);
  sweep = new RaceStore(environment, () => false, "sweep-");
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

it("states what a race needs where no model is loaded", async () => {
  environment.healthStatus = "loading";
  await shown();
  expect(screen.getByText(/A race needs a server with loaded models\./).textContent).toMatch(/are loading/);
  expect(screen.getByRole("button", { name: /Start the race/ }).getAttribute("aria-disabled")).toBe("true");
  click(/Start the race/);
  expect(environment.sent).toEqual([]);
});

it("has two to four lanes", async () => {
  race.choose([PLAIN, DRAFTED]);
  await shown();
  expect(screen.queryByRole("button", { name: /^Remove lane/ })).toBeNull();
  click(/Add a lane/);
  click(/Add a lane/);
  expect(laneCount()).toBe(4);
  expect(screen.queryByRole("button", { name: /Add a lane/ })).toBeNull();
  fireEvent.click(screen.getByRole("button", { name: "Remove lane 2" }));
  expect(laneCount()).toBe(3);
  fireEvent.change(screen.getByRole("combobox", { name: "Drafter of lane 1" }), {
    target: { value: "auto" },
  });
  expect(race.get().chosen?.[0]).toMatchObject({ policy: "auto" });
  fireEvent.change(screen.getByRole("combobox", { name: "Depth K of lane 2" }), { target: { value: "7" } });
  expect(race.get().chosen?.[1]?.k).toBe(7);
});

it("shows the lanes on one clock, with places, figures and the first difference", async () => {
  race.choose([PLAIN, DRAFTED]);
  await shown();
  click(/Start the race/);
  await act(() => Promise.resolve());
  expect(environment.sent).toMatchObject([{ type: "start", k: 0, evidence: false }]);
  act(() => environment.receive(runOf("one", 100, "c", false)));
  expect(screen.getByText(/^run 2 of 2: prompt lookup, K 2/)).toBeTruthy();
  act(() => environment.receive(runOf("two", 50, "d", true)));
  expect(screen.getByText(/^Lane 2 finishes first \(prompt lookup, K 2\): 100 ms, 4\.00 times/)).toBeTruthy();
  const [plain, drafted] = screen.getAllByRole("article");
  expect(plain?.textContent).toMatch(/plain.*2nd.*200 ms/);
  expect(drafted?.textContent).toMatch(/1st.*100 ms.*4\.00×/);
  expect(drafted?.textContent).toContain("Differs from lane 1 from token");
  expect(drafted?.querySelector(".lane-departed")).not.toBeNull();
  expect(plain?.querySelector(".lane-departed")).toBeNull();

  const slider = screen.getByRole("slider", { name: "Time of the race" });
  act(() => race.seek(120));
  expect(slider.getAttribute("aria-valuetext")).toBe("120 ms of 200 ms");
  expect(within(plain as HTMLElement).queryByText("2nd")).toBeNull();
  expect(within(drafted as HTMLElement).getByText("1st")).toBeTruthy();
  const text = (number: number) => screen.getByRole("region", { name: `Text of lane ${number}` }).textContent;
  expect([text(1), text(2)]).toEqual(["b", "abad"]);
});

it("sweeps all depths, shows them as they end, and opens the run of one", async () => {
  location.hash = "#sweep";
  const drafters = [{ name: "ngram", title: "prompt lookup", available: true, trees: false }];
  environment.offered = { ...SETTINGS, drafters } as unknown as SettingsInfo;
  await shown();
  click(/Start the sweep/);
  await act(() => Promise.resolve());
  for (const k of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
    expect(environment.sent.at(-1)).toMatchObject({ type: "start", policy: "fixed", k });
    act(() => environment.receive(runOf(`k${k}`, k === 2 ? 40 : 100, "c", k > 0)));
    if (k === 1) expect(screen.getByText(/^K 1 is the fastest so far: 2\.00×/)).toBeTruthy();
  }
  expect(
    screen.getByText(/^K 2 is the fastest: 5\.00× the speed of plain decoding, measured\./),
  ).toBeTruthy();
  expect(within(screen.getByRole("table")).getAllByRole("row")).toHaveLength(10);
  expect(screen.getByText(/there is no computed curve|The curve is computed/i)).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "Open the run of K 2" }));
  expect(location.pathname).toBe("/");
  expect(store.get().stored?.title).toBe("K 2 of the sweep");
  expect(store.get().play?.full.id).toBe("k2");
});

it("stops a sweep, and lets no race start beside it", async () => {
  location.hash = "#sweep";
  environment.offered = {
    ...SETTINGS,
    drafters: [{ name: "ngram", title: "prompt lookup", available: true, trees: false }],
  } as unknown as SettingsInfo;
  await shown();
  click(/Start the sweep/);
  await act(() => Promise.resolve());
  expect(screen.getByText(/^run 1 of 9: plain/)).toBeTruthy();
  act(() => {
    location.hash = "#race";
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  });
  expect(screen.getByText(/Wait for the end of the sweep\./)).toBeTruthy();
  act(() => sweep.stop());
  expect(screen.queryByText(/Wait for the end of the sweep\./)).toBeNull();
});

it("begins a sweep with the drafter of the pair, also where a policy chooses the drafter", async () => {
  location.hash = "#sweep";
  const drafters = ["ngram", "model"].map((name) => ({ name, title: name, available: true }));
  const defaults = { drafter: "model", policy: "auto" };
  environment.offered = { ...SETTINGS, drafters, defaults } as unknown as SettingsInfo;
  await shown();
  expect((screen.getByLabelText("Drafter") as HTMLSelectElement).value).toBe("model");
});
