import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Store } from "../app/store";
import { StoreContext } from "../app/useStore";
import type { SettingsInfo } from "../protocol/generated";
import { FakeEnvironment } from "../testing/environment";
import { started } from "../testing/messages";
import { SettingsForm } from "./SettingsForm";

const drafter = (name: string, title: string) => ({
  ...{ name, title, help: `What ${title} does.`, paper: "A. 2024" },
  ...{ trees: true, available: true, reason: null },
});
const SETTINGS: SettingsInfo = {
  ranges: {},
  defaults: { policy: "fixed", k: 4, deepest: 12, drafter: "model" },
  profiles: [],
  profile: "smol",
  drafters: [
    drafter("model", "Draft model"),
    drafter("suffix", "Suffix automaton"),
    drafter("ngram", "Lookup"),
  ],
  race_targets: [],
  auto_drafters: ["model", "suffix"],
  prediction_drafters: ["suffix"],
  rules: [{ name: "token", title: "Token", help: "", label: "exact", trees: true }],
  pass_times: [
    { tokens: 1, ms: 20 },
    { tokens: 5, ms: 40 },
  ],
};
let environment: FakeEnvironment;

async function shown(): Promise<Store> {
  environment = new FakeEnvironment();
  environment.offered = SETTINGS;
  const store = new Store(environment);
  await store.connect();
  await waitFor(() => expect(store.get().settings).not.toBeNull());
  render(
    <StoreContext value={store}>
      <SettingsForm />
    </StoreContext>,
  );
  return store;
}
const policy = (name: string) =>
  within(screen.getByRole("radiogroup", { name: "Policy" })).getByRole("radio", { name });
const depth = () => screen.queryByRole("slider", { name: /depth/i });
const control = () => screen.getByRole("combobox", { name: "Drafter" });

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
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

it("offers three policies, each with a description, and explains the chosen one", async () => {
  await shown();
  expect(policy("fixed").getAttribute("aria-checked")).toBe("true");
  for (const name of ["auto", "adaptive", "fixed"]) {
    const help = policy(name).title;
    expect(help).toMatch(/^[A-Z].*\.$/);
    fireEvent.click(policy(name));
    expect(screen.getByText(help)).toBeTruthy();
  }
});

it("is chosen with the arrow keys, and stored", async () => {
  await shown();
  policy("fixed").focus();
  fireEvent.keyDown(policy("fixed"), { key: "ArrowLeft" });
  await waitFor(() => expect(document.activeElement).toBe(policy("adaptive")));
  fireEvent.click(policy("auto"));
  cleanup();
  const again = await shown();
  expect(policy("auto").getAttribute("aria-checked")).toBe("true");
  expect(again.get().choices.policy).toBe("auto");
});

it("turns the depth into the largest depth, and hides the size of trees", async () => {
  await shown();
  expect(depth()?.getAttribute("aria-label")).toBe("Depth K");
  expect(screen.getByRole("slider", { name: "Tree size" })).toBeTruthy();
  expect(screen.getByText(/^A pass over 5 tokens takes 2\.0 times/)).toBeTruthy();
  for (const name of ["auto", "adaptive"]) {
    fireEvent.click(policy(name));
    expect(depth()?.getAttribute("aria-label")).toBe("Largest depth");
    expect(depth()?.getAttribute("aria-valuetext")).toBe(`chosen by ${name}`);
    expect(screen.queryByRole("slider", { name: "Tree size" })).toBeNull();
  }
  expect(screen.getByText(/^A pass over 13 tokens has not been measured/)).toBeTruthy();
  fireEvent.click(policy("auto"));
  expect(screen.getByText(/from which auto plans/)).toBeTruthy();
});

it("lists the choice by auto first, which takes a named drafter back", async () => {
  const store = await shown();
  expect(control().textContent).toBe("Draft model");
  fireEvent.click(policy("auto"));
  expect(control().textContent).toBe("Chosen by auto");
  expect(screen.getByText(/^Draft model or Suffix automaton, whichever is expected to pay/)).toBeTruthy();
  const titles = () => screen.getAllByRole("option").map((entry) => entry.textContent?.split(" ")[0]);
  fireEvent.keyDown(control(), { key: "Enter" });
  expect(titles()).toEqual(["Chosen", "Draft", "Suffix", "Lookup"]);
  fireEvent.keyDown(screen.getByRole("option", { name: /^Lookup/ }), { key: "Enter" });
  expect(store.get().choices).toMatchObject({ onlyDrafter: "ngram", drafter: null });
  fireEvent.keyDown(control(), { key: "Enter" });
  fireEvent.keyDown(screen.getByRole("option", { name: /^Chosen by auto/ }), { key: "Enter" });
  expect(store.get().choices).toMatchObject({ onlyDrafter: null, drafter: null });
});

it("cannot change during a run, nor can a drafter be taken back that was named for it", async () => {
  const store = await shown();
  fireEvent.click(policy("auto"));
  store.choose({ prompt: "p", onlyDrafter: "ngram" });
  store.start();
  environment.receive([started({ policy: "auto", drafter: "ngram", k: 12 })]);
  await waitFor(() => expect(policy("fixed").hasAttribute("disabled")).toBe(true));
  fireEvent.keyDown(control(), { key: "Enter" });
  const back = screen.getByRole("option", { name: /^Chosen by auto .*Choose this before the next run\.$/ });
  expect(back.getAttribute("aria-disabled")).toBe("true");
});

it("gives a number that the user moved back to who chose it before, with the focus on its slider", async () => {
  const store = await shown();
  fireEvent.click(policy("auto"));
  const back = () => screen.queryByRole("button", { name: "Largest depth: leave it to auto again" });
  expect(back()).toBeNull();
  fireEvent.keyDown(depth() as Element, { key: "Home" });
  expect(depth()?.getAttribute("aria-valuetext")).toBe("at most 1");
  fireEvent.click(back() as Element);
  expect([back(), depth()?.getAttribute("aria-valuetext")]).toEqual([null, "chosen by auto"]);
  expect(document.activeElement).toBe(depth());
  store.choose({ prompt: "p" });
  store.start();
  expect(environment.sent.at(-1)).toMatchObject({ policy: "auto", k: null });
});
