import { expect, it } from "vitest";
import { started } from "../testing/messages";
import { choiceOf, modelTitle, quantisationOf, timesOf, weightsOf } from "./models";

const model = started().target_model;

it("has a title without folder, file ending and `-instruct`", () => {
  expect(modelTitle({ ...model, name: "folder/SmolLM2-135M-Instruct.gguf" })).toBe("SmolLM2-135M");
});

it("has its number format and size", () => {
  expect(weightsOf({ ...model, quantisation: "Q4_1", size_bytes: 98_362_432 })).toBe("Q4_1, 98.4 MB");
  expect(weightsOf({ ...model, quantisation: "Q4_1", size_bytes: null })).toBe("Q4_1");
});

it("has an unknown number format where the target reports none", () => {
  for (const quantisation of ["unknown", "not told", ""]) {
    expect(quantisationOf({ ...model, quantisation })).toBeNull();
    expect(weightsOf({ ...model, quantisation, size_bytes: null })).toBe("unknown");
  }
});

it("has the reason for its runtime and the passes that were timed", () => {
  const time = (runtime: string, rows: number, ms: number) => ({ runtime, rows, ms });
  const times = [time("llama.cpp", 1, 33.2), time("llama.cpp", 4, 96.4), time("ik_llama.cpp", 2, 31.7)];
  const chosen = { ...model, choice: { reason: "4 rows cost less", times } };
  expect(choiceOf(chosen)).toBe("4 rows cost less");
  expect(timesOf(chosen)).toBe("llama.cpp: 33 ms for 1 row, 96 ms for 4; ik_llama.cpp: 32 ms for 2 rows");
});

it("has no timed passes where none were needed, and no reason where its name decided", () => {
  expect(timesOf({ ...model, choice: { reason: "the only one", times: [] } })).toBe("none");
  expect([choiceOf(model), timesOf(model)]).toEqual(["given by its name or a setting", "none"]);
  const { choice: _, ...older } = model;
  expect(choiceOf(older as typeof model)).toBe("given by its name or a setting");
});
