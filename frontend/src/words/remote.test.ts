import { describe, expect, it } from "vitest";
import { REMOTE } from "../testing/runs";
import {
  addressOf,
  boundWords,
  hostOf,
  isRemote,
  modeOf,
  placementWords,
  remoteFacts,
  remoteLocation,
  runtimeOf,
} from "./remote";

const byTerm = (facts: ReturnType<typeof remoteFacts>) =>
  Object.fromEntries(facts.map(({ term, value }) => [term, value]));

describe("a remote target", () => {
  it("is named by its host, without the rest of its address", () => {
    expect(hostOf("wss://name:secret@verify.example.org:8443/rounds")).toBe("verify.example.org:8443");
    expect(hostOf("https://api.example.org/v1")).toBe("api.example.org");
    expect(hostOf("a socket")).toBe("a socket");
    const secret = { ...REMOTE, url: "wss://name:secret@verify.example.org:8443/rounds" };
    expect(addressOf(secret)).toBe(REMOTE.url);
    expect(remoteLocation(REMOTE)).toBe("at verify.example.org:8443, round trip 42 ms");
    expect(remoteLocation({ ...REMOTE, rtt_ms: null })).toBe("at verify.example.org:8443");
  });

  it("has its mode in words, with one name for modes that are the same for a user", () => {
    const mode = (name: string) => modeOf({ ...REMOTE, mode: name });
    expect(mode("verifier").words).toBe("our verifier applies the rule, one round trip per round");
    expect(mode("generate").name).toBe("unverified");
    expect(mode("match").name).toBe("sample-and-match");
    expect(["greedy", "rows", "scores"].map((name) => mode(name).name)).toEqual([
      "scores",
      "scores",
      "scores",
    ]);
    expect(mode("thinned")).toBe(mode("thinning"));
    expect(mode("telepathy")).toEqual({ name: "telepathy", words: "" });
  });

  it("has no facts that are unknown", () => {
    expect(byTerm(remoteFacts(REMOTE))).toEqual({
      Address: REMOTE.url,
      "Round trip": "42 ms, measured",
      "Calls per round": "1",
    });
    const other = { ...REMOTE, rtt_ms: null, calls_per_round: 2.25, rate_limit: "30 requests (27 left)" };
    expect(byTerm(remoteFacts(other))).toEqual({
      Address: REMOTE.url,
      "Calls per round": "2.3",
      "Rate limit": "30 requests (27 left)",
    });
  });

  it("is recognised by its runtime", () => {
    const model = { runtime: "llama.cpp, remote" } as Parameters<typeof runtimeOf>[0];
    expect([runtimeOf(model), isRemote(model)]).toEqual(["llama.cpp", true]);
    expect(isRemote({ ...model, runtime: "llama.cpp" })).toBe(false);
  });

  it("has the bound of the output, until it excludes nothing", () => {
    expect(boundWords(0.0341)).toMatch(/^So far the total variation .* is at most 0\.035: /);
    expect(boundWords(1)).toMatch(/^The bound has reached 1, .* excludes nothing\.$/);
  });

  it("is compared with both models there, from the means of the run", () => {
    const times = {
      avg_draft_latency_ms: 40,
      avg_verify_latency_ms: 80,
      avg_network_ms: 60,
      avg_hidden_draft_ms: null,
    };
    expect(placementWords(times)).toMatch(
      /a round would take 120 ms instead of 180 ms, .* leaves a busy target 1\.50 times as many clients/,
    );
    expect(placementWords({ ...times, avg_draft_latency_ms: 10, avg_hidden_draft_ms: 50 })).toMatch(
      /would take at most 140 ms instead of 150 ms, .* at most 1\.75 times as many clients/,
    );
    expect(placementWords({ ...times, avg_network_ms: null })).toBeNull();
    expect(placementWords({ ...times, avg_draft_latency_ms: 0 })).toBeNull();
  });
});
