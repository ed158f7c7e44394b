import { describe, expect, it } from "vitest";
import { parseMessage } from "./parse";

describe("parseMessage", () => {
  it("reads a message of a known type", () => {
    const message = { type: "queued", run: "r", seq: 1, t_ms: 2.5, place: 1 };
    expect(parseMessage(JSON.stringify(message))).toEqual(message);
  });

  it("adds fields that an older trace does not have, and keeps the others", () => {
    const envelope = { run: "r", seq: 1, t_ms: 2.5 };
    expect(parseMessage(JSON.stringify({ ...envelope, type: "started" }))).toMatchObject({
      remote: null,
      per_call_baseline: null,
      translated: false,
      nodes: 0,
      policy: "fixed",
    });
    const unknown = {
      exactness: "exact",
      round_usage: null,
      plan: null,
      usage: null,
      per_call_tps: null,
      kept_mass: null,
    };
    const bare = { ...envelope, type: "metrics", rounds: 3 };
    expect(parseMessage(JSON.stringify(bare))).toMatchObject({
      ...unknown,
      rounds: 3,
      total_variation_bound: 0,
    });
    const now = { ...bare, exactness: "bounded", kept_mass: 0.91 };
    expect(parseMessage(JSON.stringify(now))).toEqual({ ...parseMessage(JSON.stringify(bare)), ...now });
  });

  it("reads warnings, and adds the fields of noise floors and of ends of runs that older traces do not have", () => {
    const envelope = { run: "r", seq: 1, t_ms: 2.5 };
    const warning = { ...envelope, type: "warning", round: 3, message: "It broke.", hint: "Mend it." };
    expect(parseMessage(JSON.stringify(warning))).toEqual(warning);
    const floor = { mean_total_variation: 0.01, max_total_variation: 0.02, argmax_agreement: 1, tokens: 16 };
    const old = { ...envelope, type: "started", noise_floor: floor };
    expect(parseMessage(JSON.stringify(old))).toMatchObject({
      noise_floor: { ...floor, context_tokens: 0, rows: 0, proven: false },
    });
    const measured = { ...floor, context_tokens: 512, rows: 5 };
    expect(parseMessage(JSON.stringify({ ...old, noise_floor: measured }))).toMatchObject({
      noise_floor: measured,
    });
    const done = { ...envelope, type: "done", metrics: {} };
    expect(parseMessage(JSON.stringify(done))).toMatchObject({ departure: null });
    const departure = { position: 3, plain_token: "a", speculative_token: "b", margin: 0.1 };
    expect(parseMessage(JSON.stringify({ ...done, departure }))).toMatchObject({ departure });
  });

  it("flattens the figures of version 1, apart from those of the round", () => {
    const usage = (calls: number) => ({ calls, sent_bytes: null });
    const old = {
      ...{ run: "r", seq: 1, t_ms: 2.5, type: "metrics", round: 4 },
      ...{ usage: usage(1), total_variation_bound: 0.1 },
      metrics: { rounds: 5, usage: usage(5), total_variation_bound: 0.3 },
    };
    const message = parseMessage(JSON.stringify(old));
    expect(message).toMatchObject({ rounds: 5, usage: usage(5), total_variation_bound: 0.3 });
    expect(message).toMatchObject({ round: 4, round_usage: usage(1), round_total_variation_bound: 0.1 });
    expect(message).not.toHaveProperty("metrics");
  });

  it.each([
    ["no JSON", "{"],
    ["not an object", "[1]"],
    ["null", "null"],
    ["an unknown type", '{"type":"weather","seq":0,"t_ms":0}'],
    ["no envelope", '{"type":"done"}'],
  ])("ignores %s", (_, text) => {
    expect(parseMessage(text)).toBeNull();
  });
});
