import { beforeEach, describe, expect, it } from "vitest";
import { seekRound } from "../run/playback";
import { parseRecording } from "../run/recording";
import { remaining } from "../run/warnings";
import { FakeEnvironment } from "../testing/environment";
import { done, draft, failure, roundOf, started, timed, updated, warning } from "../testing/messages";
import { isBusy, isRunning } from "./state";
import { Store } from "./store";

const trace = [
  '{"type":"trace"}',
  ...timed([started(), ...roundOf(0, ["a"], 1, "b"), done()]).map((e) => JSON.stringify(e)),
].join("\n");

let environment: FakeEnvironment;
let store: Store;
const play = () => store.get().play;

async function connected(): Promise<void> {
  await store.open();
  await new Promise((resolve) => setTimeout(resolve));
}

beforeEach(() => {
  localStorage.clear();
  environment = new FakeEnvironment();
  store = new Store(environment);
});

describe("recording", () => {
  it("plays on a first visit, and not on later ones once the models are ready", async () => {
    environment.trace = trace;
    await connected();
    expect(play()?.source).toBe("recording");
    store = new Store(environment);
    await connected();
    expect(play()).toBeNull();
    expect(store.get().recording).toBeNull();
    await store.watchRecording();
    expect(play()?.source).toBe("recording");
  });

  it("plays while the models are loading, until the user starts a run", async () => {
    localStorage.setItem("speculatoviz.visited", "true");
    environment.trace = trace;
    environment.healthStatus = "loading";
    await connected();
    expect(play()?.source).toBe("recording");
    store.start();
    expect(play()).toMatchObject({ source: "live", events: { length: 0 } });
  });
});

describe("frames", () => {
  it("are no news while only the clock of the playback moves", async () => {
    environment.trace = trace;
    await connected();
    store.setMode("slow");
    environment.frame(3);
    const before = play();
    let news = 0;
    store.subscribe(() => {
      news += 1;
    });
    environment.frame();
    expect(play()?.waitMs).toBeLessThan(before?.waitMs ?? 0);
    expect([news, play()?.cursor]).toEqual([0, before?.cursor]);
    environment.frame(30);
    expect(play()?.cursor).toBeGreaterThan(before?.cursor ?? 0);
    expect(news).toBeGreaterThan(0);
    expect(news).toBeLessThan(10);
    expect(Math.max(...environment.waitsMs)).toBe(100);
  });
});

describe("a run", () => {
  it("goes from the prompt to the end, batched by frame", async () => {
    await connected();
    store.choose({ prompt: "hello" });
    store.start();
    expect(environment.sent).toMatchObject([{ type: "start", prompt: "hello" }]);
    expect(isRunning(store.get())).toBe(true);
    environment.events?.onMessage(started());
    expect(play()?.events).toHaveLength(0);
    environment.receive([...roundOf(0, ["a"], 1, "b"), done()]);
    expect(play()?.shown.done).not.toBeNull();
    expect(isRunning(store.get())).toBe(false);
  });

  it("does not start without a prompt or a connection, with a notice, and keeps the prompt", async () => {
    await connected();
    store.choose({ prompt: "  " });
    store.start();
    expect(store.get().notices).toHaveLength(1);
    store.choose({ prompt: "hello" });
    environment.open = false;
    store.start();
    expect(store.get().notices.at(-1)?.message).toMatch(/cannot be reached/);
    expect(store.get().choices.prompt).toBe("hello");
    expect(play()).toBeNull();
  });

  it("ends with a notice when the connection is lost; its later messages are ignored, and the next run works", async () => {
    await connected();
    store.start();
    environment.receive([started(), draft(0, 0, "a")]);
    environment.events?.onStatus("reconnecting");
    environment.frame();
    expect(play()?.full).toMatchObject({ phase: "failed", failure: { code: "connection_lost" } });
    expect(store.get().notices.at(-1)?.message).toMatch(/round 1/);
    environment.events?.onStatus("connected");
    environment.receive([draft(0, 1, "b")]);
    expect(play()?.full.phase).toBe("failed");
    store.start();
    environment.receive([draft(0, 1, "b"), started({ run: "second" })]);
    expect(play()?.full).toMatchObject({ id: "second", phase: "running", rounds: [] });
  });

  it("counts rounds that no frame has shown when the connection is lost", async () => {
    await connected();
    store.start();
    environment.events?.onMessage(started());
    for (const event of roundOf(0, ["a"], 1, "b")) environment.events?.onMessage(event);
    environment.events?.onStatus("reconnecting");
    expect(store.get().notices.at(-1)?.message).toMatch(/in round 1/);
    environment.frame();
    expect(play()?.shown).toMatchObject({ phase: "failed", rounds: [{ index: 0 }] });
  });

  it("fails on an error of its own, but not on a refused message", async () => {
    await connected();
    store.start();
    environment.receive([started(), failure({ code: "bad_request", message: "No." })]);
    expect(play()?.full.phase).toBe("running");
    expect(store.get().notices.at(-1)?.message).toBe("No.");
    environment.receive([failure()]);
    expect(play()?.full.phase).toBe("failed");
    expect(store.get().notices.at(-1)).toMatchObject({ message: "It broke.", hint: "Mend it." });
    store.start();
    environment.receive([failure({ run: null, code: "bad_request" })]);
    expect(isRunning(store.get())).toBe(false);
    environment.receive([failure({ run: null, message: "Too late to stop." })]);
    expect(store.get().notices.at(-1)?.message).toBe("It broke.");
  });

  it("shows a warning from its round on, until it is dismissed, and none of an earlier run", async () => {
    await connected();
    store.start();
    const early = warning({ round: 1 });
    const shown = () =>
      remaining(play()?.shown.warnings ?? [], store.get().dismissed).map(({ message }) => message);
    environment.receive([started(), ...roundOf(0, ["a"], 1, "b"), warning({ round: 1, message: "Late." })]);
    environment.receive([early, ...roundOf(1, ["c"], 1, "d"), done()]);
    expect(shown()).toEqual(["Late.", early.message]);
    store.playback((state) => seekRound(state, 1));
    expect(shown()).toEqual([]);
    store.playback((state) => seekRound(state, 2));
    const late = play()?.shown.warnings[0];
    if (late) store.dismissWarning(late);
    expect(shown()).toEqual([early.message]);
    store.playback((state) => seekRound(state, 0));
    store.playback((state) => seekRound(state, 2));
    expect(shown()).toEqual([early.message]);

    store.start();
    expect(shown()).toEqual([]);
    environment.receive([started({ run: "next" }), warning({ run: "next", message: "Late." })]);
    expect(shown()).toEqual(["Late."]);
  });

  it("sends one update for several quick changes, with only the changed fields", async () => {
    await connected();
    store.start();
    environment.debounce();
    environment.receive([
      started({ k: 0, sampling: { temperature: 1, top_k: 0, top_p: 1, min_p: 0, penalties: null } }),
    ]);
    store.choose({ numbers: { temperature: 0.5 } });
    store.choose({ numbers: { temperature: 0.6 } });
    environment.debounce();
    expect(environment.sent.slice(1)).toEqual([{ type: "update", temperature: 0.6 }]);
    environment.receive([
      updated({ round: 1, sampling: { temperature: 0.6, top_k: 0, top_p: 1, min_p: 0, penalties: null } }),
    ]);
    store.choose({ numbers: { temperature: 0.6 } });
    environment.debounce();
    expect(environment.sent).toHaveLength(2);
  });

  it("changes the tree size with the drafter, because not every drafter drafts trees", async () => {
    await connected();
    store.start();
    environment.receive([started({ k: 4, nodes: 12 })]);
    store.choose({ drafter: "ngram" });
    environment.debounce();
    expect(environment.sent.slice(1)).toEqual([{ type: "update", drafter: "ngram", nodes: 0 }]);
  });

  it("limits a run of auto to a depth and to a drafter, also to its usual one", async () => {
    await connected();
    store.choose({ policy: "auto" });
    store.start();
    environment.receive([started({ policy: "auto", k: 12 })]);
    store.choose({ numbers: { deepest: 5 } });
    environment.debounce();
    store.choose({ onlyDrafter: "model" });
    environment.debounce();
    store.choose({ onlyDrafter: null });
    environment.debounce();
    expect(environment.sent).toMatchObject([
      { type: "start", policy: "auto", drafter: null, k: null },
      { type: "update", k: 5 },
      { type: "update", drafter: "model" },
    ]);
  });

  it("measures the plain baseline with the same prompt and settings", async () => {
    await connected();
    store.start();
    environment.receive([started({ prompt: "same", seed: 7 }), done()]);
    store.choose({ seed: 8 });
    store.startPlain();
    expect(environment.sent.at(-1)).toMatchObject({ prompt: "same", seed: 7, k: 0, policy: "fixed" });
    environment.receive([started({ run: "plain" }), done({ run: "plain" })]);
    store.start();
    environment.receive([
      started({ run: "next", seed: JSON.parse("18446744073709551617") }),
      done({ run: "next" }),
    ]);
    store.startPlain();
    expect(environment.sent.at(-1)).toMatchObject({ seed: null, k: 0 });
  });

  describe("judged by a plain run", () => {
    const values = (overall_tps: number) => ({ ...done().metrics, effective_tps: overall_tps, overall_tps });
    const plainEnd = (changes: Parameters<typeof done>[0] = {}) =>
      done({ run: "plain", total_tokens: 64, metrics: values(25), ...changes });
    const speedup = () => play()?.shown.done?.metrics.speedup;

    beforeEach(async () => {
      await connected();
      store.start();
      environment.receive([
        started({ prompt: "same" }),
        ...roundOf(0, ["a"], 1, "b"),
        done({ metrics: { ...values(50), speedup: 1, baseline_tps: 50 } }),
      ]);
    });

    it("is drawn as the other run was, which then returns with a verdict relative to the new baseline", () => {
      expect(speedup()).toBe(1);
      store.select("0:0");
      store.startPlain();
      const drawn = timed(roundOf(0, [], 0, "x")).map((event) => ({ ...event, run: "plain" }));
      environment.receive([started({ run: "plain", k: 0 }), ...drawn]);
      expect(play()?.full.rounds[0]?.emitted.map(({ text }) => text)).toEqual(["x"]);
      expect([store.get().selected, isBusy(store.get())]).toEqual([null, true]);
      store.choose({ numbers: { k: 9 } });
      environment.debounce();
      store.start();
      expect(environment.sent).toHaveLength(2);
      environment.receive([plainEnd()]);
      expect(isBusy(store.get())).toBe(false);
      expect(speedup()).toBe(2);
      expect(play()?.shown.started?.baseline).toMatchObject({ tps: 25, tokens: 64, kind: "plain_run" });
      expect([play()?.full.started?.prompt, store.get().selected]).toEqual(["same", "0:0"]);
      expect(play()?.shown.rounds).toHaveLength(1);
    });

    it("keeps its baseline if the plain run is stopped, too short, or lost", () => {
      store.startPlain();
      environment.receive([plainEnd({ finish_reason: "cancelled" })]);
      expect([speedup(), store.get().notices.length]).toEqual([1, 0]);
      store.startPlain();
      environment.receive([plainEnd({ run: "short", total_tokens: 3 })]);
      expect([speedup(), store.get().notices.length]).toEqual([1, 1]);
      store.startPlain();
      const shared = plainEnd({ run: "shared" });
      environment.receive([{ ...shared, metrics: { ...shared.metrics, shared_rounds: 4 } }]);
      expect(speedup()).toBe(1);
      expect(store.get().notices.at(-1)?.message).toMatch(/^Other runs used the models/);
      store.startPlain();
      environment.events?.onStatus("reconnecting");
      expect([speedup(), isBusy(store.get())]).toEqual([1, false]);
      expect(store.get().notices.at(-1)?.message).toMatch(/lost during the plain run/);
    });
  });
});

it("stores the settings", async () => {
  const chosen = {
    prompt: "mine",
    policy: "auto",
    onlyDrafter: "ngram",
    numbers: { k: 6, deepest: 9 },
  } as const;
  store.choose(chosen);
  expect(new Store(environment).get().choices).toMatchObject(chosen);
});

describe("a kept run", () => {
  const stored = () => {
    const recording = parseRecording(trace);
    if (!recording) throw new Error("The trace is one.");
    return { id: "abcd", title: "kept", recording };
  };

  it("takes the place of the run on the page, whole or at a token, and gives it back", async () => {
    environment.trace = trace;
    await connected();
    const before = play();
    expect(store.showStored(stored())).toBe(true);
    expect(play()?.shown.done).not.toBeNull();
    expect(play()?.playing).toBe(false);
    expect(store.showStored(stored(), 1, 2)).toBe(true);
    expect(store.get().selected).toBe("0:+");
    store.closeStored();
    expect(play()).toBe(before);
    expect(store.get()).toMatchObject({ stored: null, selected: null });
  });

  it("waits for a run that is computed, and leaves with the next one", async () => {
    await connected();
    store.choose({ prompt: "hello" });
    store.start();
    expect(store.showStored(stored())).toBe(false);
    environment.receive([started(), ...roundOf(0, ["a"], 1, "b"), done()]);
    expect(store.showStored(stored())).toBe(true);
    store.start();
    expect(store.get().stored).toBeNull();
    expect(play()?.source).toBe("live");
  });
});
