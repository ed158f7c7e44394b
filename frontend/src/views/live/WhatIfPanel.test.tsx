import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Store } from "../../app/store";
import { StoreContext } from "../../app/useStore";
import type { WhatIfAnswer, WhatIfChoice, WhatIfQuestion } from "../../protocol/generated";
import { FakeEnvironment } from "../../testing/environment";
import { done, roundOf, started } from "../../testing/messages";
import { WhatIfPanel } from "./WhatIfPanel";

const choice = (depth: number, tps: number): WhatIfChoice => ({
  depth,
  rounds: 10,
  accepted: 8,
  tokens_per_round: 1 + depth / 2,
  draft_ms: 5 * depth,
  verify_ms: 30,
  round_ms: 40,
  tps,
  low: tps - 2,
  high: tps + 2,
  speedup: tps / 20,
  exact: true,
  measured_passes: true,
});

const ANSWER: WhatIfAnswer = {
  tokens: 160,
  drafter: "model",
  policy: "fixed",
  rule: "token",
  temperature: 0,
  batch: 1,
  measured_tps: 24,
  plain_tps: 20,
  choices: [choice(1, 25), choice(2, 31)],
  best: 2,
  best_share: 0.83,
  level: 0.9,
  left_out: [],
  whole: true,
  own: { rtt_ms: 0, draft_ms: 5 },
  passes: [1, 2, 3, 8].map((tokens) => ({ tokens, ms: 20 + tokens })),
  passes_given: false,
};

/** A server that answers when the test lets it. */
class FakeServer {
  asked: WhatIfQuestion[] = [];
  answers: ((response: Response) => void)[] = [];

  readonly fetch = (path: string, { body = "" }: RequestInit) => {
    expect(path).toBe("/api/runs/abc/whatif");
    this.asked.push(JSON.parse(`${body}`) as WhatIfQuestion);
    return new Promise<Response>((resolve) => this.answers.push(resolve));
  };

  async answer(changes: Partial<WhatIfAnswer> = {}): Promise<void> {
    await this.send(Response.json({ ...ANSWER, ...changes }));
  }

  async send(response: Response): Promise<void> {
    await act(async () => {
      this.answers.shift()?.(response);
      await vi.advanceTimersByTimeAsync(0);
    });
  }
}

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  vi.stubGlobal("fetch", server.fetch);
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const RECORD = { drafter: "model", depth: 2, by_prefix: true };

function shown(
  host: FakeEnvironment["host"] = "server",
  record: typeof RECORD | null = RECORD,
  id = "abc",
): void {
  const environment = new FakeEnvironment();
  environment.host = host;
  const store = new Store(environment);
  const events = [started({ k: 1, record }), ...roundOf(0, ["a"], 1, "x"), done()];
  const header = { created: "", machine: "m", speculatoviz: "1" };
  store.showStored({ id, title: "run", recording: { header, events, warning: null } });
  render(
    <StoreContext value={store}>
      <WhatIfPanel />
    </StoreContext>,
  );
}

const pause = () => act(() => vi.advanceTimersByTimeAsync(200));
const press = (name: string, key: string) => fireEvent.keyDown(screen.getByRole("slider", { name }), { key });
const verdict = () => screen.getByRole("status").textContent;

it("asks about the run as it was, and shows the best depth with its interval and its label", async () => {
  shown();
  await pause();
  expect(server.asked).toEqual([{}]);
  await server.answer();
  expect(verdict()).toBe(
    "K 2 would be the fastest: 31.0 tokens per second, 1.55× plain decoding, computed. It is the fastest in 83 % of the resamples of the text.",
  );
  expect(
    screen.getByRole("img", { name: "Computed tokens per second: plain 20.0, K 1 25.0, K 2 31.0" }),
  ).toBeTruthy();
  expect(
    screen.getByText(
      /^K 2: 2\.00 tokens a round .*\(90 %: 29\.0 to 33\.0\).* Accepted tokens exact, times computed\.$/,
    ),
  ).toBeTruthy();
  expect(screen.getByText("measured: the run as it was")).toBeTruthy();
  expect(screen.getByText(/^Measured as it was, evidence not counted: 24\.0/)).toBeTruthy();
});

it("draws computed bars hatched with their intervals, and the measured one solid at the depth of the run", async () => {
  shown();
  await pause();
  await server.answer();
  const bars = [...document.querySelectorAll(".wi-bar > rect")];
  expect(bars.map((bar) => bar.getAttribute("fill")?.startsWith("url(#"))).toEqual([true, true, true]);
  expect(document.querySelectorAll(".wi-interval")).toHaveLength(2);
  const [solid] = document.querySelectorAll(".wi-measured");
  const own = bars[1];
  expect(Number(solid?.getAttribute("x"))).toBeGreaterThan(Number(own?.getAttribute("x")));
  expect(Number(solid?.getAttribute("y"))).toBeGreaterThan(Number(own?.getAttribute("y")));
});

it("explains the depth that is chosen without asking again", async () => {
  shown();
  await pause();
  await server.answer();
  press("Depth K shown", "Home");
  expect(
    screen.getByText("Plain: one token a round in 50 ms: 20.0 tokens per second, computed."),
  ).toBeTruthy();
  await pause();
  expect(server.asked).toHaveLength(1);
});

it("asks one question at a time, and then the newest alone", async () => {
  shown();
  await pause();
  press("Depth K shown", "End");
  fireEvent.click(screen.getByRole("radio", { name: "adaptive" }));
  await pause();
  fireEvent.click(screen.getByRole("radio", { name: "block" }));
  fireEvent.change(screen.getByLabelText("Pass times of another machine"), {
    target: { value: "1:25,2:30" },
  });
  await pause();
  expect(server.asked).toHaveLength(1);
  await server.answer();
  expect(screen.getByRole("region", { name: "What if" }).getAttribute("aria-busy")).toBe("true");
  await server.answer({ passes_given: true });
  expect(server.asked.slice(1)).toEqual([
    { policy: "adaptive", batch: 1, rule: "block", passes: "1:25,2:30" },
  ]);
  expect(screen.getByText("From 160 recorded tokens, with the given pass times.")).toBeTruthy();
});

it("sends what is moved, and nothing of it after a reset", async () => {
  shown();
  await pause();
  await server.answer();
  press("Round-trip time", "End");
  press("Time of a drafted token", "Home");
  press("Sequences together", "ArrowRight");
  await pause();
  expect(server.asked.at(-1)).toEqual({ rtt_ms: 200, draft_ms: 0, batch: 2 });
  await server.answer({ batch: 2, measured_tps: 24 });
  expect(document.querySelectorAll(".wi-measured")).toHaveLength(0);
  fireEvent.click(screen.getByRole("button", { name: "As the run was" }));
  await pause();
  expect(server.asked.at(-1)).toEqual({});
});

it("states in the server's words what cannot be answered, beside the last answer", async () => {
  shown();
  await pause();
  await server.answer({ choices: [{ ...choice(1, 18), exact: false }], best: 0, best_share: null });
  expect(verdict()).toBe("Plain decoding would be the fastest: 20.0 tokens per second, computed.");
  press("Depth K shown", "End");
  expect(screen.getByText(/An estimate\.$/)).toBeTruthy();
  fireEvent.change(screen.getByLabelText("Pass times of another machine"), { target: { value: "fast" } });
  await pause();
  await server.send(
    Response.json({ message: "The table holds no pass times.", hint: "Write 1:25." }, { status: 400 }),
  );
  expect(screen.getByRole("alert").textContent).toBe("The table holds no pass times. Write 1:25.");
  expect(verdict()).toContain("Plain decoding");
});

it("is not there for a run without a record, and where no server computes", async () => {
  shown("server", null);
  cleanup();
  shown("site");
  await pause();
  expect(screen.queryByRole("region", { name: "What if" })).toBeNull();
  expect(server.asked).toEqual([]);
});
