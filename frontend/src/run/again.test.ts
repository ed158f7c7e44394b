import { expect, it } from "vitest";
import { started } from "../testing/messages";
import { sameText } from "./again";

const sampling = { temperature: 0.7, top_k: 5, top_p: 0.9, min_p: 0, penalties: null };
const base = { prompt: "Why?", max_tokens: 32, sampling };

it("has fields of a start message only", () => {
  const { penalties: _, ...filters } = sampling;
  expect(sameText(started(base))).toEqual({ ...filters, prompt: "Why?", max_tokens: 32 });
});

it("carries penalties, biases and the grammar, which change the text", () => {
  const penalties = { presence: 0.1, frequency: 0.5, repetition: 1.2, last_n: 64, bias: [[42, -100]] };
  const grammar = { kind: "regex", text: "a+" } as const;
  expect(sameText(started({ ...base, sampling: { ...sampling, penalties }, grammar }))).toMatchObject({
    presence_penalty: 0.1,
    frequency_penalty: 0.5,
    repetition_penalty: 1.2,
    repeat_last_n: 64,
    logit_bias: { 42: -100 },
    grammar,
  });
});
