import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { noChoices } from "../app/form";
import { Store } from "../app/store";
import { StoreContext } from "../app/useStore";
import type { SettingsInfo } from "../protocol/generated";
import { FakeEnvironment } from "../testing/environment";
import { PredictionBox } from "./PredictionBox";

afterEach(cleanup);

const drafter = (name: string, title: string) => ({
  name,
  title,
  help: "",
  paper: "",
  trees: false,
  available: true,
  reason: null,
});

const settings = {
  ranges: {},
  defaults: { policy: "fixed", drafter: "model" },
  drafters: [drafter("model", "Draft model"), drafter("suffix", "Suffix automaton")],
  auto_drafters: ["model"],
  prediction_drafters: ["suffix"],
  profiles: [],
  rules: [],
  pass_times: [],
} as unknown as SettingsInfo;

async function shown() {
  const environment = new FakeEnvironment();
  environment.offered = settings;
  const store = new Store(environment);
  await store.connect();
  await waitFor(() => expect(store.get().settings).not.toBeNull());
  store.choose({ ...noChoices, prompt: "hi" });
  render(
    <StoreContext value={store}>
      <PredictionBox />
    </StoreContext>,
  );
  return { store, environment };
}

it("is closed until it is opened, and explains the colour of its tokens", async () => {
  await shown();
  const summary = screen.getByText("Predicted output (optional)");
  expect(summary.closest("details")?.open).toBe(false);
  expect(screen.getByText(/Tokens with this colour and letter/).textContent).toContain("O");
});

it("sends the text with the run, drafted by a drafter that reads it, and names those if another is chosen", async () => {
  const { store, environment } = await shown();
  fireEvent.change(screen.getByRole("textbox", { name: "Predicted output", hidden: true }), {
    target: { value: "def f(): pass" },
  });
  expect(screen.getByText("Predicted output (given)")).toBeTruthy();
  expect(screen.queryByText(/does not read it/)).toBeNull();
  act(() => store.start());
  expect(environment.sent.at(-1)).toMatchObject({
    type: "start",
    prediction: "def f(): pass",
    drafter: "suffix",
  });
  act(() => store.choose({ drafter: "model" }));
  expect(screen.getByText(/does not read it/).textContent).toContain("Choose one of: Suffix automaton.");
});
