import { expect, it } from "vitest";
import { depthWords, POLICIES, policyHelp } from "./policies";

it("names the depth with the policy that chooses it", () => {
  expect(depthWords("fixed", 4)).toBe("K 4");
  expect(depthWords("auto", 12)).toBe("auto, at most 12");
  expect(depthWords("adaptive", 8)).toBe("adaptive, at most 8");
  for (const policy of ["auto", "adaptive", "fixed"]) expect(depthWords(policy, 0)).toBe("plain");
});

it("explains each policy in one sentence of its own", () => {
  const sentences = POLICIES.map(({ name }) => policyHelp(name));
  expect(new Set(sentences).size).toBe(3);
  for (const sentence of sentences) expect(sentence).toMatch(/^[A-Z][^.]+\.$/);
});
