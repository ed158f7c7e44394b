import { expect, it } from "vitest";
import { started } from "../testing/messages";
import { modelTitle, quantisationOf, weightsOf } from "./models";

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
