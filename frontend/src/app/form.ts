// The form: the user's choices, or the server's defaults, within the server's ranges.
import type { DrafterInfo, RangeInfo, RuleInfo, SettingsInfo, Start, Update } from "../protocol/generated";
import type { RuleName } from "../run/model";
import type { CurrentSettings } from "../run/selectors";
import { seedOf } from "./seed";

export const NUMBERS = ["k", "nodes", "temperature", "max_tokens", "top_p", "top_k", "min_p"] as const;
export type NumberField = (typeof NUMBERS)[number];

/** Only what the user changed. The rest follows the server's defaults. */
export interface Choices {
  readonly prompt: string;
  readonly drafter: string | null;
  readonly rule: RuleName | null;
  /** Shadow drafters. */
  readonly shadow: readonly string[];
  readonly seed: number | null;
  readonly numbers: Partial<Readonly<Record<NumberField, number>>>;
}

export interface Form {
  readonly prompt: string;
  readonly drafter: string | null;
  readonly rule: RuleName | null;
  readonly shadow: readonly string[];
  /** Whether the drafter can draft trees and the rule can verify them. */
  readonly trees: boolean;
  /** Null leaves the seed to the server. */
  readonly seed: number | null;
  readonly numbers: Readonly<Record<NumberField, number>>;
}

export const noChoices: Choices = {
  prompt: "",
  drafter: null,
  rule: null,
  shadow: [],
  seed: null,
  numbers: {},
};

/** Ranges and defaults until the server sends its own. */
const FALLBACK: Record<NumberField, RangeInfo & { value: number }> = {
  k: { min: 1, max: 16, step: 1, value: 4, help: "draft depth: tokens drafted per round" },
  nodes: {
    min: 0,
    max: 63,
    step: 1,
    value: 0,
    help: "largest number of tokens of a draft tree; up to the depth it is a chain",
  },
  temperature: { min: 0, max: 2, step: 0.05, value: 0, help: "sampling temperature; 0 is greedy" },
  max_tokens: { min: 64, max: 1024, step: 1, value: 256, help: "largest number of generated tokens" },
  top_p: { min: 0.05, max: 1, step: 0.05, value: 1, help: "nucleus sampling" },
  top_k: { min: 0, max: 1000, step: 1, value: 0, help: "sample from the k most probable tokens; 0 is off" },
  min_p: {
    min: 0,
    max: 1,
    step: 0.01,
    value: 0,
    help: "drop tokens below this share of the highest probability",
  },
};

/** Sliders cover the useful part of the server's ranges, and always its default. */
const USEFUL: Partial<Record<NumberField, { min: number; max: number; step?: number }>> = {
  k: { min: 1, max: 16 },
  max_tokens: { min: 64, max: 1024, step: 16 },
};

function defaultOf(settings: SettingsInfo | null, field: NumberField): number {
  const standard = settings?.defaults[field];
  return typeof standard === "number" ? standard : FALLBACK[field].value;
}

export function rangeOf(settings: SettingsInfo | null, field: NumberField): RangeInfo {
  const allowed = settings?.ranges[field] ?? FALLBACK[field];
  const useful = USEFUL[field];
  if (!useful) return allowed;
  const standard = defaultOf(settings, field);
  return {
    ...allowed,
    min: Math.max(allowed.min, Math.min(useful.min, standard)),
    max: Math.min(allowed.max, Math.max(useful.max, standard)),
    step: useful.step ?? allowed.step,
  };
}

export function clamp(value: number, range: RangeInfo): number {
  const bounded = Math.min(range.max, Math.max(range.min, value));
  const stepped = range.min + Math.round((bounded - range.min) / range.step) * range.step;
  // Steps of 0.05 add up to 0.15000000000000002.
  return Number(Math.min(range.max, stepped).toFixed(6));
}

function numberOf(settings: SettingsInfo | null, choices: Choices, field: NumberField): number {
  const chosen = choices.numbers[field];
  // The server's default is used as it is, also between two steps.
  return chosen === undefined ? defaultOf(settings, field) : clamp(chosen, rangeOf(settings, field));
}

export function formFrom(settings: SettingsInfo | null, choices: Choices): Form {
  const numbers = {} as Record<NumberField, number>;
  for (const field of NUMBERS) numbers[field] = numberOf(settings, choices, field);
  const drafter = drafterOf(settings, choices.drafter);
  const rule = ruleOf(settings, choices.rule);
  const trees = drafter?.trees === true && rule?.trees === true;
  if (!trees) numbers.nodes = 0;
  const shadow = shadowChoices(settings, drafter?.name ?? null).map(({ name }) => name);
  return {
    prompt: choices.prompt,
    drafter: settings ? (drafter?.name ?? null) : choices.drafter,
    rule: settings ? (rule?.name ?? null) : choices.rule,
    shadow: choices.shadow.filter((name) => shadow.includes(name)),
    trees,
    seed: seedOf(settings, choices.seed),
    numbers,
  };
}

function drafterOf(settings: SettingsInfo | null, chosen: string | null): DrafterInfo | null {
  const available = settings?.drafters.filter((drafter) => drafter.available) ?? [];
  const named = (name: unknown) => available.find((drafter) => drafter.name === name);
  return named(chosen) ?? named(settings?.defaults.drafter) ?? available[0] ?? null;
}

function ruleOf(settings: SettingsInfo | null, chosen: RuleName | null): RuleInfo | null {
  const rules = settings?.rules ?? [];
  const named = (name: unknown) => rules.find((rule) => rule.name === name);
  return named(chosen) ?? named(settings?.defaults.rule) ?? rules[0] ?? null;
}

/** The drafters that can run as shadow drafters of this one. */
export const shadowChoices = (settings: SettingsInfo | null, drafter: string | null): DrafterInfo[] =>
  settings?.drafters.filter(({ name, available }) => available && name !== drafter) ?? [];

export function startMessage(form: Form, changes: Partial<Start> = {}): Start {
  const { prompt, drafter, rule, shadow, seed, numbers } = form;
  return { type: "start", prompt, drafter, rule, shadow: [...shadow], seed, ...numbers, ...changes };
}

/** The changes that a live run accepts; null if nothing differs from its current settings. */
export function updateMessage(form: Form, current: CurrentSettings): Update | null {
  const message: Update = { type: "update" };
  if (form.numbers.k !== current.k) message.k = form.numbers.k;
  if (form.numbers.nodes !== current.nodes) message.nodes = form.numbers.nodes;
  if (form.numbers.temperature !== current.temperature) message.temperature = form.numbers.temperature;
  if (form.drafter !== null && form.drafter !== current.drafter) message.drafter = form.drafter;
  return Object.keys(message).length > 1 ? message : null;
}

/** Reads stored choices. Unexpected values are ignored. */
export function choicesFrom(saved: unknown, firstPrompt = ""): Choices {
  if (typeof saved !== "object" || saved === null) return { ...noChoices, prompt: firstPrompt };
  const { prompt, drafter, rule, shadow, seed, numbers } = saved as Record<string, unknown>;
  const kept: Partial<Record<NumberField, number>> = {};
  for (const field of NUMBERS) {
    const value = (numbers as Record<string, unknown> | null | undefined)?.[field];
    if (typeof value === "number" && Number.isFinite(value)) kept[field] = value;
  }
  return {
    prompt: typeof prompt === "string" ? prompt : "",
    drafter: typeof drafter === "string" ? drafter : null,
    // Whether the server has this rule is checked against its settings.
    rule: typeof rule === "string" ? (rule as RuleName) : null,
    shadow: Array.isArray(shadow) ? shadow.filter((name) => typeof name === "string") : [],
    seed: typeof seed === "number" && Number.isFinite(seed) ? seed : null,
    numbers: kept,
  };
}
