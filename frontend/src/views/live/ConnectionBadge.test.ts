import { expect, it } from "vitest";
import type { Health } from "../../protocol/generated";
import { connectionState } from "./ConnectionBadge";

const health = (changes: Partial<Health>) =>
  ({ stage: "", progress: null, message: null, hint: null, ...changes }) as Health;

it("names the state of the connection and the models", () => {
  expect(connectionState("offline", null).word).toBe("offline");
  expect(
    connectionState("connected", health({ status: "loading", stage: "downloading", progress: 0.42 })).word,
  ).toBe("downloading 42 %");
  expect(connectionState("connected", health({ status: "loading", stage: "loading" })).word).toBe("loading");
  expect(
    connectionState("connected", health({ status: "failed", message: "No file.", hint: "Put it." })).detail,
  ).toBe("No file. Put it.");
  expect(connectionState("connected", health({ status: "ready" })).word).toBe("connected");
});
