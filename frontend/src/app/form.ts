// The form: the user's choices, or the server's defaults, within the server's ranges.
import type { DrafterInfo, RangeInfo, RuleInfo, SettingsInfo, Start, Update } from "../protocol/generated";
import type { PolicyName, RuleName } from "../run/model";
import type { CurrentSettings } from "../run/selectors";
import { seedOf } from "./seed";

export const NUMBERS = [
  "k",
  "deepest",
  "nodes",
  "temperature",
  "max_tokens",
  "top_p",
  "top_k",
  "min_p",
] as const;
export type NumberField = (typeof NUMBERS)[number];

const POLICY_NAMES: readonly unknown[] = ["auto", "adaptive", "fixed"] satisfies PolicyName[];
const isPolicy = (value: unknown): value is PolicyName => POLICY_NAMES.includes(value);

/** Only what the user changed. The rest follows the server's defaults. */
export interface Choices {
  readonly prompt: string;
  /** A predicted output; empty for none. */
  readonly prediction: string;
  readonly policy: PolicyName | null;
  readonly drafter: string | null;
  /** The only drafter that `auto` may use; null leaves the choice to it. */
  readonly onlyDrafter: string | null;
  readonly rule: RuleName | null;
  /** Shadow drafters. */
  readonly shadow: readonly string[];
  readonly seed: number | null;
  readonly numbers: Partial<Readonly<Record<NumberField, number>>>;
}

export interface Form {
  readonly prompt: string;
  /** A predicted output; null without one. */
  readonly prediction: string | null;
  readonly policy: PolicyName;
  /** Null under `auto` leaves the choice to it. */
  readonly drafter: string | null;
  /** The depth of `fixed`, the largest depth of the others; null leaves the largest depth to the server. */
  readonly depth: number | null;
  readonly rule: RuleName | null;
  readonly shadow: readonly string[];
  /** Whether the policy plans trees, the drafter can draft them, and the rule can verify them. */
  readonly trees: boolean;
  /** Null leaves the seed to the server. */
  readonly seed: number | null;
  readonly numbers: Readonly<Record<NumberField, number>>;
}

export const noChoices: Choices = {
  prompt: "",
  prediction: "",
  policy: null,
  drafter: null,
  onlyDrafter: null,
  rule: null,
  shadow: [],
  seed: null,
  numbers: {},
};

/** Ranges and defaults until the server sends its own. */
const FALLBACK: Record<NumberField, RangeInfo & { value: number }> = {
  k: { min: 1, max: 16, step: 1, value: 4, help: "draft depth: tokens drafted per round" },
  deepest: {
    min: 1,
    max: 16,
    step: 1,
    value: 12,
    help: "largest draft depth: a round drafts at most this many tokens on a path",
  },
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
  deepest: { min: 1, max: 16 },
  max_tokens: { min: 64, max: 1024, step: 16 },
};

function defaultOf(settings: SettingsInfo | null, field: NumberField): number {
  const standard = settings?.defaults[field];
  return typeof standard === "number" ? standard : FALLBACK[field].value;
}

/** What the server allows. The largest depth has the limits of a depth. */
function allowedRange(settings: SettingsInfo | null, field: NumberField): RangeInfo {
  const { help } = FALLBACK.deepest;
  if (field === "deepest") return { ...FALLBACK.deepest, ...settings?.ranges.k, help };
  return settings?.ranges[field] ?? FALLBACK[field];
}

export function rangeOf(settings: SettingsInfo | null, field: NumberField): RangeInfo {
  const allowed = allowedRange(settings, field);
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
  const policy = policyOf(settings, choices.policy);
  const entry = drafterEntry(settings, choices, policy);
  const saved = policy === "auto" ? choices.onlyDrafter : choices.drafter;
  const drafter = settings ? (entry?.name ?? null) : saved;
  const rule = ruleOf(settings, choices.rule);
  const trees = policy === "fixed" && entry?.trees === true && rule?.trees === true;
  if (!trees) numbers.nodes = 0;
  const shadow = shadowChoices(settings, { policy, drafter }).map(({ name }) => name);
  return {
    prompt: choices.prompt,
    prediction: predictionOf(choices),
    policy,
    drafter,
    depth: depthOf(policy, choices, numbers),
    rule: settings ? (rule?.name ?? null) : choices.rule,
    shadow: choices.shadow.filter((name) => shadow.includes(name)),
    trees,
    seed: seedOf(settings, choices.seed),
    numbers,
  };
}

function policyOf(settings: SettingsInfo | null, chosen: PolicyName | null): PolicyName {
  const standard = settings?.defaults.policy;
  return chosen ?? (isPolicy(standard) ? standard : "fixed");
}

/** Where a policy chooses, the server knows a good largest depth, so only one that the user set is sent. */
function depthOf(policy: PolicyName, choices: Choices, numbers: Form["numbers"]): number | null {
  if (policy === "fixed") return numbers.k;
  return choices.numbers.deepest === undefined ? null : numbers.deepest;
}

const predictionOf = ({ prediction }: Choices): string | null => (prediction.trim() ? prediction : null);

/**
 * The entry of the drafter in use; null where `auto` chooses it, or if none is available. With a predicted output it is
 * one that reads it, unless another one is chosen.
 */
function drafterEntry(
  settings: SettingsInfo | null,
  choices: Choices,
  policy: PolicyName,
): DrafterInfo | null {
  const { drafter, onlyDrafter } = choices;
  const reader = predictionOf(choices) === null ? undefined : settings?.prediction_drafters[0];
  const available = settings?.drafters.filter((entry) => entry.available) ?? [];
  const named = (name: unknown) => available.find((entry) => entry.name === name);
  if (policy === "auto") return named(onlyDrafter) ?? named(reader) ?? null;
  return named(drafter) ?? named(reader) ?? named(settings?.defaults.drafter) ?? available[0] ?? null;
}

function ruleOf(settings: SettingsInfo | null, chosen: RuleName | null): RuleInfo | null {
  const rules = settings?.rules ?? [];
  const named = (name: unknown) => rules.find((rule) => rule.name === name);
  return named(chosen) ?? named(settings?.defaults.rule) ?? rules[0] ?? null;
}

/** The drafters that a run with these settings may use. */
export function draftersInUse(
  settings: SettingsInfo | null,
  { policy, drafter }: Pick<Form, "policy" | "drafter">,
): readonly string[] {
  if (drafter !== null) return [drafter];
  return policy === "auto" ? (settings?.auto_drafters ?? []) : [];
}

/** The drafters that can run as shadow drafters: all that the run itself does not use. */
export function shadowChoices(
  settings: SettingsInfo | null,
  form: Pick<Form, "policy" | "drafter">,
): DrafterInfo[] {
  const used = draftersInUse(settings, form);
  return settings?.drafters.filter(({ name, available }) => available && !used.includes(name)) ?? [];
}

export function startMessage(form: Form, changes: Partial<Start> = {}): Start {
  const { prompt, prediction, policy, drafter, depth, rule, shadow, seed, numbers } = form;
  const { deepest: _, ...others } = numbers;
  const fields = {
    prompt,
    prediction,
    policy,
    drafter,
    rule,
    shadow: [...shadow],
    seed,
    ...others,
    k: depth,
  };
  return { type: "start", ...fields, ...changes };
}

/**
 * The changes that a live run accepts; null if nothing differs from its current settings. What a policy decides from
 * changes only a run of that policy. Under `auto` a run does not report whether its drafter was named, so a named one
 * always counts as a change.
 */
export function updateMessage(form: Form, current: CurrentSettings): Update | null {
  const message: Update = { type: "update" };
  if (form.policy === current.policy) {
    if (form.depth !== null && form.depth !== current.k) message.k = form.depth;
    if (form.numbers.nodes !== current.nodes) message.nodes = form.numbers.nodes;
    const isChange = form.policy === "auto" || form.drafter !== current.drafter;
    if (form.drafter !== null && isChange) message.drafter = form.drafter;
  }
  if (form.numbers.temperature !== current.temperature) message.temperature = form.numbers.temperature;
  return Object.keys(message).length > 1 ? message : null;
}

/** Reads stored choices. Unexpected values are ignored. */
export function choicesFrom(saved: unknown, firstPrompt = ""): Choices {
  if (typeof saved !== "object" || saved === null) return { ...noChoices, prompt: firstPrompt };
  const { prompt, prediction, policy, drafter, onlyDrafter, rule, shadow, seed, numbers } = saved as Record<
    string,
    unknown
  >;
  const kept: Partial<Record<NumberField, number>> = {};
  for (const field of NUMBERS) {
    const value = (numbers as Record<string, unknown> | null | undefined)?.[field];
    if (typeof value === "number" && Number.isFinite(value)) kept[field] = value;
  }
  return {
    prompt: typeof prompt === "string" ? prompt : "",
    prediction: typeof prediction === "string" ? prediction : "",
    policy: isPolicy(policy) ? policy : null,
    drafter: typeof drafter === "string" ? drafter : null,
    onlyDrafter: typeof onlyDrafter === "string" ? onlyDrafter : null,
    // Whether the server has this rule is checked against its settings.
    rule: typeof rule === "string" ? (rule as RuleName) : null,
    shadow: Array.isArray(shadow) ? shadow.filter((name) => typeof name === "string") : [],
    seed: typeof seed === "number" && Number.isFinite(seed) ? seed : null,
    numbers: kept,
  };
}
