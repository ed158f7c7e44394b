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
  race_targets: [],
  auto_drafters: [],
  prediction_drafters: ["suffix"],
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
    expect(
      updateMessage(form, { policy: "fixed", k: 3, nodes: 0, temperature: 0.7, drafter: "model" }),
    ).toEqual({
      type: "update",
      nodes: 12,
    });
  });

  it("offers the available drafters that are not in use as shadow drafters", () => {
    const shadow = ["ngram", "model", "eagle"];
    expect(formFrom(settings, { ...noChoices, shadow }).shadow).toEqual(["ngram"]);
    expect(formFrom(settings, { ...noChoices, shadow, drafter: "ngram" }).shadow).toEqual(["model"]);
    expect(shadowChoices(settings, { policy: "fixed", drafter: "model" }).map(({ name }) => name)).toEqual([
      "ngram",
    ]);
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
    expect(
      updateMessage(form, { policy: "fixed", k: 3, nodes: 0, temperature: 0.7, drafter: "model" }),
    ).toBeNull();
    expect(
      updateMessage(form, { policy: "fixed", k: 5, nodes: 0, temperature: 0.7, drafter: "ngram" }),
    ).toEqual({
      type: "update",
      k: 3,
      drafter: "model",
    });
  });

  it("reads stored choices and ignores unexpected values", () => {
    expect(choicesFrom({ prompt: "a", drafter: 3, seed: "x", numbers: { k: 2, other: 1 } })).toEqual({
      prompt: "a",
      prediction: "",
      policy: null,
      drafter: null,
      onlyDrafter: null,
      rule: null,
      shadow: [],
      seed: null,
      numbers: { k: 2 },
    });
    expect(choicesFrom("junk", "first")).toEqual({ ...noChoices, prompt: "first" });
  });
});

describe("the policy of the form", () => {
  const auto = {
    ...settings,
    defaults: { ...settings.defaults, policy: "auto", deepest: 12 },
    auto_drafters: ["model"],
  };

  it("is the server's until the user chooses one", () => {
    expect(formFrom(auto, noChoices).policy).toBe("auto");
    expect(formFrom(auto, { ...noChoices, policy: "adaptive" }).policy).toBe("adaptive");
    expect(formFrom(settings, noChoices).policy).toBe("fixed");
    expect(formFrom(null, noChoices).policy).toBe("fixed");
  });

  it("leaves drafter and depth to auto, and drafts no trees", () => {
    const form = formFrom(auto, { ...noChoices, drafter: "ngram", numbers: { k: 3, nodes: 12 } });
    expect(form).toMatchObject({
      drafter: null,
      depth: null,
      trees: false,
      numbers: { deepest: 12, nodes: 0 },
    });
    expect(startMessage(form)).toMatchObject({ policy: "auto", drafter: null, k: null, nodes: 0 });
    expect(startMessage(form)).not.toHaveProperty("deepest");
  });

  it("sends a largest depth and an only drafter that the user chose for auto, and keeps those of fixed", () => {
    const chosen = { ...noChoices, drafter: "model", onlyDrafter: "ngram", numbers: { k: 3, deepest: 6 } };
    expect(startMessage(formFrom(auto, chosen))).toMatchObject({ drafter: "ngram", k: 6 });
    const fixed = startMessage(formFrom(auto, { ...chosen, policy: "fixed" }));
    expect(fixed).toMatchObject({ policy: "fixed", drafter: "model", k: 3 });
    expect(startMessage(formFrom(auto, { ...chosen, onlyDrafter: "eagle" })).drafter).toBeNull();
  });

  it("names the drafter of adaptive, and sends only a largest depth that the user chose", () => {
    const adaptive = { ...noChoices, policy: "adaptive", numbers: { k: 3 } } as const;
    expect(startMessage(formFrom(auto, adaptive))).toMatchObject({ drafter: "model", k: null });
    const limited = formFrom(auto, { ...adaptive, numbers: { deepest: 8 } });
    expect(startMessage(limited)).toMatchObject({ policy: "adaptive", drafter: "model", k: 8 });
  });

  it("gives the largest depth the limits of a depth", () => {
    const narrow = { ...auto, ranges: { ...auto.ranges, k: range(0, 8, 1) }, defaults: { deepest: 8 } };
    expect(rangeOf(narrow, "deepest")).toMatchObject({ min: 1, max: 8, help: /largest/ });
    expect(formFrom(narrow, { ...noChoices, numbers: { deepest: 14 } }).numbers.deepest).toBe(8);
  });

  it("offers no drafter as a shadow that auto may use", () => {
    const names = (drafter: string | null) =>
      shadowChoices(auto, { policy: "auto", drafter }).map(({ name }) => name);
    expect(names(null)).toEqual(["ngram"]);
    expect(names("ngram")).toEqual(["model"]);
  });

  it("changes a run of the same policy only", () => {
    const current = { policy: "auto", k: 12, nodes: 0, temperature: 0.7, drafter: "model" };
    const form = formFrom(auto, { ...noChoices, onlyDrafter: "model", numbers: { deepest: 6 } });
    expect(updateMessage(form, current)).toEqual({ type: "update", k: 6, drafter: "model" });
    expect(updateMessage(formFrom(auto, noChoices), { ...current, k: 5 })).toBeNull();
    expect(updateMessage(form, { ...current, policy: "fixed", k: 0 })).toBeNull();
    expect(updateMessage(form, { ...current, policy: "fixed", temperature: 0 })).toEqual({
      type: "update",
      temperature: 0.7,
    });
  });

  it("is stored, and anything else is ignored", () => {
    const saved = { policy: "auto", onlyDrafter: "suffix", numbers: { deepest: 6 } };
    expect(choicesFrom(saved)).toMatchObject(saved);
    expect(choicesFrom({ policy: "best", onlyDrafter: 3 })).toMatchObject({
      policy: null,
      onlyDrafter: null,
    });
  });
});
