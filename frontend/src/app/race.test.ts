import { beforeEach, describe, expect, it } from "vitest";
import type { ServerMessage } from "../protocol/generated";
import type { LaneSettings } from "../run/race";
import { FakeEnvironment } from "../testing/environment";
import { done, failure, metrics, roundOf, started } from "../testing/messages";
import { AUTO_LANE, lanesFrom, lanesOf, PLAIN, withKind, withOneMore, withTarget } from "./lanes";
import { RaceStore } from "./race";

const DRAFTED: LaneSettings = { policy: "fixed", drafter: "ngram", k: 4 };
const COMMON = { prompt: "hello", temperature: 0, seed: 1 };

let environment: FakeEnvironment;
let store: RaceStore;
let animates = false;
const starts = () => environment.sent.filter(({ type }) => type === "start");

/** One whole run of two rounds, each of `ms`. */
function runs(id: string, ms: number): ServerMessage[] {
  const rounds = [0, 1].flatMap((at) => [
    ...roundOf(at, ["a"], 1, "b").slice(0, -1),
    metrics(at, 1, { round_ms: ms }),
  ]);
  return [started(), ...rounds, done()].map((message) => ({ ...message, run: id }));
}

async function begun(lanes: readonly LaneSettings[] = [PLAIN, DRAFTED]): Promise<void> {
  store.start(lanes, COMMON);
  await Promise.resolve();
  await Promise.resolve();
}

beforeEach(() => {
  localStorage.clear();
  animates = false;
  environment = new FakeEnvironment();
  store = new RaceStore(environment, () => animates);
});

describe("a race", () => {
  it("runs its lanes in turn, each after the end of the one before, with the same prompt and seed", async () => {
    await begun();
    expect(starts()).toHaveLength(1);
    expect(starts()[0]).toMatchObject({ ...COMMON, policy: "fixed", k: 0, drafter: null, evidence: false });
    environment.receive(runs("one", 50).slice(0, -1));
    expect(starts()).toHaveLength(1);
    expect(store.get().running).toMatchObject({ done: 0, run: { id: "one" } });
    environment.receive(runs("one", 50).slice(-1));
    expect(starts()[1]).toMatchObject({ ...COMMON, k: 4, drafter: "ngram" });
    expect(store.get().lanes).toEqual([]);
    environment.receive(runs("two", 20));
    expect(store.get()).toMatchObject({ running: null, notice: null, clock: { ms: 100, playing: false } });
    expect(store.get().lanes.map(({ ms, run }) => [ms, run.id])).toEqual([
      [100, "one"],
      [40, "two"],
    ]);
  });

  it("names the target of a lane, and keeps the time of its loading apart", async () => {
    await begun([PLAIN, { ...PLAIN, target: "small" }]);
    expect(starts()[0]).toMatchObject({ target: null });
    environment.receive(runs("one", 50));
    expect(starts()[1]).toMatchObject({ target: "small", k: 0 });
    const stage = { run: "two", seq: 0, t_ms: 0, type: "loading", target: "small", progress: null } as const;
    environment.receive([{ ...stage, stage: "measuring", elapsed_s: 2 }]);
    expect(store.get().running?.run).toMatchObject({ phase: "queued", loading: { stage: "measuring" } });
    environment.receive([{ ...stage, stage: "loaded", elapsed_s: 3 }, ...runs("two", 20)]);
    expect(store.get().lanes.map(({ loadingS, ms }) => [loadingS, ms])).toEqual([
      [0, 100],
      [3, 40],
    ]);
  });

  it("repeats every lane three times, and keeps the median", async () => {
    store.setRepeats(3);
    await begun();
    for (const [at, ms] of [10, 60, 50, 40, 30, 80].entries()) environment.receive(runs(`r${at}`, ms));
    expect(starts().map((start) => "k" in start && start.k)).toEqual([0, 4, 4, 0, 0, 4]);
    expect(store.get().lanes.map(({ allMs, ms }) => [allMs, ms])).toEqual([
      [[20, 80, 60], 60],
      [[120, 100, 160], 120],
    ]);
    expect(new RaceStore(environment, () => false).get().repeats).toBe(3);
  });

  it("keeps the race before it when it is stopped, fails, or loses the connection", async () => {
    await begun();
    environment.receive([...runs("one", 50), ...runs("two", 20)]);
    const before = store.get().lanes;
    await begun();
    store.stop();
    environment.receive(runs("late", 5));
    expect(store.get()).toMatchObject({ running: null, notice: null });
    await begun();
    environment.receive([failure()]);
    expect(store.get().notice).toEqual({ message: "It broke.", hint: "Mend it." });
    await begun();
    environment.events?.onStatus("reconnecting");
    expect(store.get().notice?.message).toMatch(/connection was lost/);
    expect(store.get().lanes).toBe(before);
    environment.open = false;
    await begun();
    expect(store.get().notice?.message).toMatch(/connection was lost/);
  });

  it("starts one race at a time", async () => {
    await begun();
    store.start([PLAIN, PLAIN], COMMON);
    expect(store.get().running?.lanes).toEqual([PLAIN, DRAFTED]);
  });
});

describe("the replay", () => {
  it("plays by itself where motion is wanted, to the end, and again from the start", async () => {
    animates = true;
    await begun();
    environment.receive([...runs("one", 50), ...runs("two", 20)]);
    expect(store.get().clock).toMatchObject({ playing: true });
    environment.frame(3);
    expect(store.get().clock).toEqual({ ms: 48, playing: true });
    environment.frame(10);
    expect(store.get().clock).toEqual({ ms: 100, playing: false });
    store.play();
    expect(store.get().clock).toEqual({ ms: 0, playing: true });
    store.pause();
    environment.frame(5);
    expect(store.get().clock).toEqual({ ms: 0, playing: false });
    store.seek(1e9);
    expect(store.get().clock.ms).toBe(100);
    store.seek(-1);
    expect(store.get().clock.ms).toBe(0);
  });
});

const NAMED = { title: "", help: "", paper: "", trees: false, available: true, reason: null };
const SETTINGS = {
  ranges: {},
  defaults: { drafter: "ngram", k: 3 },
  profiles: [],
  profile: "smol",
  drafters: [
    { ...NAMED, name: "model" },
    { ...NAMED, name: "ngram" },
  ],
  race_targets: [],
  auto_drafters: [],
  prediction_drafters: ["suffix"],
  rules: [],
  pass_times: [],
};

describe("the lanes", () => {
  it("are plain, the server's drafter and auto, until the reader changes them", () => {
    const settings = SETTINGS;
    expect(lanesOf(null, settings)).toEqual([PLAIN, { policy: "fixed", drafter: "ngram", k: 3 }, AUTO_LANE]);
    expect(lanesOf(null, null)).toEqual([PLAIN, AUTO_LANE]);
    expect(lanesOf([{ ...DRAFTED, drafter: "gone" }, DRAFTED], settings)).toEqual([PLAIN, DRAFTED]);
    expect(withOneMore([PLAIN, DRAFTED], settings).at(-1)).toEqual({ ...DRAFTED, k: 8 });
    expect(withOneMore([PLAIN, AUTO_LANE], settings).at(-1)).toEqual({ ...DRAFTED, k: 3 });
    expect(withKind(withKind(DRAFTED, "plain"), "model")).toEqual({ ...DRAFTED, drafter: "model" });
  });

  it("name a race target that the server has, with a drafter that it has for certain", () => {
    const other = { name: "small:Q8_0", title: "Small, Q8_0", drafters: ["suffix"], reason: null };
    const absent = { ...other, name: "absent", reason: "It is not downloaded. Run it." };
    const settings = { ...SETTINGS, race_targets: [other, absent] };
    const there = { target: "small:Q8_0" };
    expect(withTarget(DRAFTED, other.name, settings)).toEqual({ ...PLAIN, ...there });
    expect(withKind({ ...PLAIN, ...there }, "suffix")).toMatchObject({ drafter: "suffix", ...there });
    expect(withTarget({ ...AUTO_LANE, ...there }, undefined, settings)).toEqual(AUTO_LANE);
    const suffix = { ...DRAFTED, drafter: "suffix", ...there };
    expect(lanesOf([suffix, { ...DRAFTED, ...there }], settings)).toEqual([suffix, { ...PLAIN, ...there }]);
    for (const gone of ["absent", "unknown"])
      expect(lanesOf([{ ...PLAIN, target: gone }], settings)).toEqual([PLAIN]);
    expect(lanesFrom([PLAIN, suffix])).toEqual([PLAIN, suffix]);
  });

  it("are stored, and anything unexpected in the store is ignored", () => {
    store.choose([PLAIN, DRAFTED, AUTO_LANE]);
    expect(new RaceStore(environment, () => false).get().chosen).toEqual([PLAIN, DRAFTED, AUTO_LANE]);
    for (const wrong of [
      null,
      "x",
      [PLAIN],
      [PLAIN, { policy: "other" }],
      [PLAIN, { policy: "fixed", drafter: "a" }],
    ])
      expect(lanesFrom(wrong)).toBeNull();
    expect(lanesFrom([PLAIN, { policy: "fixed", drafter: "a", k: 900 }])?.[1]?.k).toBe(16);
  });
});
