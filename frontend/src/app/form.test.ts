import { describe, expect, it } from "vitest";
import type { SettingsInfo } from "../protocol/generated";
import {
  choicesFrom,
  clamp,
  formFrom,
  noChoices,
  rangeOf,
  shadowChoices,
  startMessage,
  updateMessage,
} from "./form";

const range = (min: number, max: number, step: number) => ({ min, max, step, help: "" });
const drafter = (name: string, available = true) => ({
  name,
  title: name,
  help: "",
  paper: "",
  trees: name === "model",
  available,
  reason: available ? null : "It is not there. Fetch it.",
});
const settings: SettingsInfo = {
  ranges: {
    k: range(0, 16, 1),
    temperature: range(0, 2, 0.05),
    max_tokens: range(1, 4096, 1),
  },
  defaults: { k: 3, temperature: 0.7, max_tokens: 256, drafter: "model" },
  profiles: [],
  profile: "qwen",
  drafters: [drafter("model"), drafter("ngram"), drafter("eagle", false)],
  rules: [
    { name: "token", title: "Token", help: "", label: "exact", trees: true },
    { name: "block", title: "Block", help: "", label: "exact", trees: false },
  ],
  auto_drafters: [],
  pass_times: [],
};

describe("form", () => {
  it("starts from the server's defaults", () => {
    const form = formFrom(settings, noChoices);
    expect(form.numbers).toMatchObject({ k: 3, temperature: 0.7, max_tokens: 256 });
    expect(form.drafter).toBe("model");
  });

  it("offers 1 to 16 and 64 to 1024 within what the server allows", () => {
    expect(rangeOf(settings, "k")).toMatchObject({ min: 1, max: 16 });
    expect(rangeOf(settings, "max_tokens")).toMatchObject({ min: 64, max: 1024 });
    const narrow = { ...settings, ranges: { ...settings.ranges, max_tokens: range(1, 512, 1) } };
    expect(formFrom(narrow, { ...noChoices, numbers: { max_tokens: 900 } }).numbers.max_tokens).toBe(512);
  });

  it("uses the server's defaults as they are, also where the sliders would not offer them", () => {
    const defaults = { ...settings.defaults, k: 0, temperature: 0.77, max_tokens: 40 };
    const unusual = { ...settings, defaults };
    expect(formFrom(unusual, noChoices).numbers).toMatchObject({ k: 0, temperature: 0.77, max_tokens: 40 });
    expect(rangeOf(unusual, "k")).toMatchObject({ min: 0, max: 16 });
    expect(rangeOf(unusual, "max_tokens")).toMatchObject({ min: 40, max: 1024 });
    const many = { ...settings, defaults: { ...defaults, max_tokens: 4096 } };
    expect(rangeOf(many, "max_tokens")).toMatchObject({ min: 64, max: 4096 });
    const chosen = (max_tokens: number) => formFrom(unusual, { ...noChoices, numbers: { max_tokens } });
    expect([56, 60, 2000].map((tokens) => chosen(tokens).numbers.max_tokens)).toEqual([56, 56, 1024]);
  });

  it("keeps values on their steps without rounding noise", () => {
    expect(clamp(0.1 + 0.2, range(0, 2, 0.05))).toBe(0.3);
    expect(clamp(9, range(0, 2, 0.05))).toBe(2);
  });

  it("does not keep a drafter that is not available", () => {
    expect(formFrom(settings, { ...noChoices, drafter: "ngram" }).drafter).toBe("ngram");
    expect(formFrom(settings, { ...noChoices, drafter: "eagle" }).drafter).toBe("model");
  });

  it("makes the start message, with changes", () => {
    const form = formFrom(settings, { ...noChoices, prompt: "hi" });
    expect(startMessage(form)).toMatchObject({ type: "start", prompt: "hi", k: 3, drafter: "model" });
    expect(startMessage(form, { k: 0 }).k).toBe(0);
  });

  it("drafts trees if drafter and rule support them, and keeps the chosen size otherwise", () => {
    const chosen = { ...noChoices, numbers: { nodes: 12 } };
    const form = formFrom(settings, chosen);
    expect(form).toMatchObject({ trees: true, rule: "token", numbers: { nodes: 12 } });
    expect(startMessage(form)).toMatchObject({ nodes: 12, rule: "token" });
    expect(formFrom(settings, { ...chosen, rule: "block" })).toMatchObject({
      trees: false,
      numbers: { nodes: 0 },
    });
    expect(formFrom(settings, { ...chosen, drafter: "ngram" })).toMatchObject({
      trees: false,
      numbers: { nodes: 0 },
    });
    expect(updateMessage(form, { k: 3, nodes: 0, temperature: 0.7, drafter: "model" })).toEqual({
      type: "update",
      nodes: 12,
    });
  });

  it("offers the available drafters that are not in use as shadow drafters", () => {
    const shadow = ["ngram", "model", "eagle"];
    expect(formFrom(settings, { ...noChoices, shadow }).shadow).toEqual(["ngram"]);
    expect(formFrom(settings, { ...noChoices, shadow, drafter: "ngram" }).shadow).toEqual(["model"]);
    expect(shadowChoices(settings, "model").map(({ name }) => name)).toEqual(["ngram"]);
  });

  it("falls back to the server's rule", () => {
    expect(formFrom({ ...settings, defaults: { rule: "block" } }, noChoices).rule).toBe("block");
    expect(formFrom(settings, { ...noChoices, rule: "typical" }).rule).toBe("token");
    expect(choicesFrom({ rule: "block", shadow: ["ngram", 3] })).toMatchObject({
      rule: "block",
      shadow: ["ngram"],
    });
  });

  it("updates only what differs from the current settings", () => {
    const form = formFrom(settings, noChoices);
    expect(updateMessage(form, { k: 3, nodes: 0, temperature: 0.7, drafter: "model" })).toBeNull();
    expect(updateMessage(form, { k: 5, nodes: 0, temperature: 0.7, drafter: "ngram" })).toEqual({
      type: "update",
      k: 3,
      drafter: "model",
    });
  });

  it("reads stored choices and ignores unexpected values", () => {
    expect(choicesFrom({ prompt: "a", drafter: 3, seed: "x", numbers: { k: 2, other: 1 } })).toEqual({
      prompt: "a",
      drafter: null,
      rule: null,
      shadow: [],
      seed: null,
      numbers: { k: 2 },
    });
    expect(choicesFrom("junk", "first")).toEqual({ ...noChoices, prompt: "first" });
  });
});
