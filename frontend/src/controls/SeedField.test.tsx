import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { Store } from "../app/store";
import { StoreContext } from "../app/useStore";
import type { SettingsInfo } from "../protocol/generated";
import { FakeEnvironment } from "../testing/environment";
import { SeedField } from "./SeedField";

afterEach(cleanup);

async function shown(seed: number): Promise<Store> {
  localStorage.clear();
  const environment = new FakeEnvironment();
  const none = { ranges: {}, profiles: [], profile: null, drafters: [], rules: [], pass_times: [] };
  environment.offered = { ...none, defaults: { seed } } as unknown as SettingsInfo;
  const store = new Store(environment);
  await store.connect();
  await new Promise((resolve) => setTimeout(resolve));
  render(
    <StoreContext value={store}>
      <SeedField />
    </StoreContext>,
  );
  return store;
}
const field = () => screen.getByLabelText<HTMLInputElement>("Seed");
const type = (value: string) => fireEvent.change(field(), { target: { value } });

it("shows the server's seed, and the user's once one is typed", async () => {
  const store = await shown(7);
  expect(field().value).toBe("7");
  type("12");
  fireEvent.blur(field());
  expect(field().value).toBe("12");
  expect(store.get().choices.seed).toBe(12);
});

it("shows in words that the seed is the server's where it cannot hold that, until one is picked", async () => {
  const store = await shown(18446744073709552000);
  expect([field().value, field().placeholder]).toEqual(["", "the server’s"]);
  fireEvent.click(screen.getByRole("button", { name: "Another seed" }));
  expect(field().value).toBe(String(store.get().choices.seed));
  type("");
  fireEvent.blur(field());
  expect([field().value, store.get().choices.seed]).toEqual(["", null]);
});
