import { describe, expect, it } from "vitest";
import { parseMessage } from "./parse";

describe("parseMessage", () => {
  it("reads a message of a known type", () => {
    const message = { type: "queued", run: "r", seq: 1, t_ms: 2.5, place: 1 };
    expect(parseMessage(JSON.stringify(message))).toEqual(message);
  });

  it("completes what an older trace does not know of, and leaves alone what is there", () => {
    const envelope = { run: "r", seq: 1, t_ms: 2.5 };
    expect(parseMessage(JSON.stringify({ ...envelope, type: "started" }))).toMatchObject({
      remote: null,
      per_call_baseline: null,
      translated: false,
      nodes: 0,
    });
    const old = { ...envelope, type: "metrics", metrics: { rounds: 3 } };
    expect(parseMessage(JSON.stringify(old))).toMatchObject({
      exactness: "exact",
      usage: null,
      metrics: { rounds: 3, per_call_tps: null, kept_mass: null, total_variation_bound: 0 },
    });
    const now = { ...old, exactness: "bounded", metrics: { kept_mass: 0.91 } };
    expect(parseMessage(JSON.stringify(now))).toMatchObject({
      exactness: "bounded",
      metrics: { kept_mass: 0.91 },
    });
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
