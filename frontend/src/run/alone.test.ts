import { describe, expect, it } from "vitest";
import { chain, roundOf, STARTED } from "../testing/runs";
import { aloneRequest, forkAt, rejectedTokens } from "./alone";
import type { Run } from "./model";
import { emptyRun } from "./reducer";

const rounds = [roundOf(0, chain("aar+")), roundOf(1, chain("rd+")), roundOf(2, chain("aa*"))];
const run: Run = { ...emptyRun, started: STARTED, rounds };

describe("the road not taken", () => {
  it("begins at tokens that failed their test, not at those that were never tested", () => {
    expect(rejectedTokens(run).map(({ key }) => key)).toEqual(["0:2", "1:0"]);
  });

  it("parts from the output after the accepted ancestors", () => {
    const [first, second] = rejectedTokens(run);
    if (!first || !second) throw new Error("nothing was rejected");
    expect(forkAt(run, first).ids).toEqual([0, 1]);
    expect(forkAt(run, first).taken.map(({ key }) => key)).toEqual(["0:+", "1:+", "2:0", "2:1", "2:+"]);
    expect(forkAt(run, second).ids).toEqual([0, 1, 2]);
    expect(forkAt(run, second).taken.map(({ key }) => key)).toEqual(["1:+", "2:0", "2:1", "2:+"]);
    const all = run.rounds.flatMap(({ emitted }) => emitted.map(({ text }) => text)).join("");
    for (const token of [first, second]) {
      const { before, taken } = forkAt(run, token);
      expect(before + taken.map(({ text }) => text).join("")).toBe(all);
    }
  });

  it("asks with the run's own settings as they were in that round", () => {
    const [first, second] = rejectedTokens(run);
    if (!first || !second) throw new Error("nothing was rejected");
    const sampling = { ...STARTED.sampling, temperature: 0 };
    const update = { ...STARTED, type: "updated", round: 1, sampling } as const;
    const changed: Run = { ...run, updates: [update] };
    expect(aloneRequest(changed, first, 5, 8)).toMatchObject({
      run: { prompt: STARTED.prompt, temperature: 0.7, seed: 5, drafter: "model" },
      prompt_digest: "d",
      output_ids: [0, 1, 2],
      most: 8,
    });
    expect(aloneRequest(changed, second, 5, 8)?.run.temperature).toBe(0);
  });

  it("asks the draft model where the token came from a drafter without a model", () => {
    const [first] = rejectedTokens(run);
    if (!first?.draft) throw new Error("nothing was rejected");
    const from = (source: string) => ({ ...first, draft: { ...first.draft, source } }) as typeof first;
    expect(aloneRequest(run, from("suffix"), null, 8)?.run.drafter).toBe("model");
    expect(aloneRequest(run, from("selfspec"), null, 8)?.run.drafter).toBe("selfspec");
  });

  it("asks nothing for a run whose prompt cannot be checked", () => {
    const [first] = rejectedTokens(run);
    if (!first) throw new Error("nothing was rejected");
    expect(aloneRequest({ ...run, started: { ...STARTED, prompt_digest: null } }, first, 0, 8)).toBeNull();
  });
});
