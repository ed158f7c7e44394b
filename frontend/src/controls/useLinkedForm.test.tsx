import { act, cleanup, render } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { formFrom, noChoices } from "../app/form";
import { linkOf } from "../app/link";
import { Store } from "../app/store";
import { StoreContext } from "../app/useStore";
import type { SettingsInfo } from "../protocol/generated";
import { FakeEnvironment } from "../testing/environment";
import { useLinkedForm } from "./useLinkedForm";

const LINK = linkOf(
  formFrom(null, {
    ...noChoices,
    prompt: "from a link",
    policy: "fixed",
    drafter: "ngram",
    numbers: { k: 7 },
  }),
);
let environment: FakeEnvironment;
let store: Store;

function Form() {
  useLinkedForm();
  return null;
}

const open = (hash: string) => {
  location.hash = hash;
  render(
    <StoreContext value={store}>
      <Form />
    </StoreContext>,
  );
};

beforeEach(() => {
  localStorage.clear();
  environment = new FakeEnvironment();
  store = new Store(environment);
});
afterEach(() => {
  cleanup();
  location.hash = "";
});

it("fills the form, states so, and waits", async () => {
  open(LINK);
  expect(store.get().choices).toMatchObject({ prompt: "from a link", drafter: "ngram", numbers: { k: 7 } });
  expect(store.get().notices.map(({ message }) => message)).toEqual([
    "Prompt and settings come from a link.",
  ]);
  expect(location.hash).toBe("");
  await act(() => store.connect());
  environment.debounce();
  environment.frame(3);
  expect(environment.sent).toEqual([]);
});

it("leaves the form alone without a link", () => {
  store.choose({ prompt: "mine" });
  open("#text");
  expect(store.get().choices.prompt).toBe("mine");
  expect(store.get().notices).toEqual([]);
});

it("states that a drafter is not available", async () => {
  const ranges = {
    ranges: {},
    defaults: {},
    profiles: [],
    rules: [],
    pass_times: [],
    auto_drafters: [],
    prediction_drafters: [],
  };
  const drafters = [{ name: "ngram", title: "prompt lookup", available: false }];
  environment.offered = { ...ranges, drafters } as unknown as SettingsInfo;
  open(LINK);
  await act(() => store.connect());
  expect(store.get().notices.at(-1)?.message).toMatch(/names the drafter .*, which is not available here/);
});
