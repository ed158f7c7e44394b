import { expect, it } from "vitest";
import type { ServerMessage } from "../protocol/generated";
import { emptyRun, reduceAll } from "../run/reducer";
import { done, roundOf, started } from "../testing/messages";
import { waitingFor } from "./waiting";

it("names what a run waits for, and nothing if it does not wait", () => {
  const queued = (place: number) => ({ run: "r", seq: 0, t_ms: 0, type: "queued", place }) as const;
  const waiting = (...events: ServerMessage[]) => waitingFor(reduceAll(emptyRun, events));
  expect(waiting(queued(1))).toBe("The model is busy. This run is next.");
  expect(waiting(queued(2))).toBe("The model is busy. This run is number 2 in the queue.");
  expect(waiting(queued(1), started())).toBe("Computing the prompt…");
  expect(waiting(started(), ...roundOf(0, ["a"], 1, "b"))).toBeNull();
  expect(waiting(started(), done())).toBeNull();
  expect(waiting()).toBeNull();
});
