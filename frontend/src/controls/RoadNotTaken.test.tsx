import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Store } from "../app/store";
import { StoreContext } from "../app/useStore";
import type { AloneText } from "../protocol/generated";
import { rejectedTokens } from "../run/alone";
import type { Run } from "../run/model";
import { emptyRun } from "../run/reducer";
import { FakeEnvironment } from "../testing/environment";
import { chain, roundOf, STARTED } from "../testing/runs";
import { RoadNotTaken } from "./RoadNotTaken";

const RUN: Run = {
  ...emptyRun,
  started: STARTED,
  rounds: [roundOf(0, chain("ar+"), (_, at) => ` w${at}`)],
};
const ANSWER: AloneText = {
  drafter: "model",
  model: "small",
  tokens: [{ token: " x", token_id: 5, draft_prob: 1, draft_time_ms: 2 }],
  text: " <b>x</b>",
  ended: true,
  draft_ms: 2,
};

let environment: FakeEnvironment;
beforeEach(() => {
  environment = new FakeEnvironment();
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

async function shown(run: Run = RUN) {
  const store = new Store(environment);
  store.connect();
  await waitFor(() => expect(environment.host === "server" ? store.get().health : true).toBeTruthy());
  const [token] = rejectedTokens(run);
  if (!token) throw new Error("nothing was rejected");
  return render(
    <StoreContext value={store}>
      <RoadNotTaken run={run} token={token} />
    </StoreContext>,
  );
}

const answering = (status: number, body: unknown) =>
  vi.fn(async (_path: string, _init: RequestInit) => new Response(JSON.stringify(body), { status }));
const press = () => fireEvent.click(screen.getByRole("button", { name: "Write on with the draft alone" }));

it("shows the draft's own text beside the target's, as text, and says what it is", async () => {
  const fetched = answering(200, ANSWER);
  vi.stubGlobal("fetch", fetched);
  const { container } = await shown();
  press();
  await screen.findByText(/no part of the run/);
  const [target, alone] = [...container.querySelectorAll("dd")].map((one) => one.textContent);
  expect(target).toBe(" w0 w1");
  expect(alone?.replaceAll("\u00a0", " ")).toBe(" w0 w1' <b>x</b>");
  expect(container.querySelector("dd b")).toBeNull();
  expect(screen.getByText(/1 token by small alone, up to its end token/)).toBeTruthy();
  expect(JSON.parse(String(fetched.mock.calls[0]?.[1].body))).toMatchObject({ output_ids: [0, 1] });
});

it("shows a refusal in the server's words, and can be asked again", async () => {
  vi.stubGlobal("fetch", answering(400, { code: "bad_request", message: "No.", hint: "Do this." }));
  await shown();
  press();
  expect((await screen.findByRole("alert")).textContent).toBe("No. Do this.");
  vi.stubGlobal("fetch", answering(200, ANSWER));
  press();
  await screen.findByText(/no part of the run/);
  expect(screen.queryByRole("alert")).toBeNull();
});

it("stops the server's work on request and when it leaves the page", async () => {
  const signals: AbortSignal[] = [];
  vi.stubGlobal("fetch", (_path: string, { signal }: RequestInit) => {
    if (signal) signals.push(signal);
    return new Promise((_, refuse) => signal?.addEventListener("abort", () => refuse(signal.reason)));
  });
  const { unmount } = await shown();
  press();
  fireEvent.click(await screen.findByRole("button", { name: "Stop" }));
  expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  press();
  unmount();
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
});

it.each([
  ["a page without a server", { host: "site" } as const, RUN, /needs a server with the models/],
  [
    "a run of an earlier version",
    {},
    { ...RUN, started: { ...STARTED, prompt_digest: null } },
    /earlier version/,
  ],
])("says why it cannot be asked: %s", async (_, changes, run, words) => {
  const fetched = answering(200, ANSWER);
  vi.stubGlobal("fetch", fetched);
  Object.assign(environment, changes);
  await shown(run);
  press();
  expect(screen.getByText(words)).toBeTruthy();
  expect(fetched).not.toHaveBeenCalled();
});
