import { expect, it } from "vitest";
import { formFrom, noChoices } from "./form";
import { choicesOfLink, linkOf } from "./link";

const CHOICES = {
  ...noChoices,
  prompt: "a & b = “c”? #1\n + 100 %",
  policy: "fixed" as const,
  drafter: "ngram",
  rule: "block" as const,
  shadow: [],
  seed: 7,
  numbers: { k: 6, temperature: 0.7, max_tokens: 128, top_p: 0.9, top_k: 40, min_p: 0.05 },
};

it("brings the same form back", () => {
  const form = formFrom(null, CHOICES);
  const choices = choicesOfLink(linkOf(form));
  expect(choices && formFrom(null, choices)).toEqual(form);
});

it("leaves the drafter and the depth to auto, unless they were chosen", () => {
  const auto = { ...noChoices, prompt: "p", policy: "auto" as const };
  expect(linkOf(formFrom(null, auto))).not.toMatch(/drafter|deepest/);
  const chosen = { ...auto, onlyDrafter: "model", numbers: { deepest: 5 } };
  const choices = choicesOfLink(linkOf(formFrom(null, chosen)));
  expect(choices).toMatchObject({
    policy: "auto",
    drafter: null,
    onlyDrafter: "model",
    numbers: { deepest: 5 },
  });
});

it("is read from no other address, and ignores what it does not know", () => {
  for (const hash of ["", "#text", "#race", "#k=4", "#temperature=1"]) expect(choicesOfLink(hash)).toBeNull();
  const odd = "#prompt=p&policy=best&k=many&seed=&temperature=NaN&top_p=Infinity&rule=&evil=1";
  expect(choicesOfLink(odd)).toMatchObject({ prompt: "p", policy: null, seed: null, numbers: {} });
});
