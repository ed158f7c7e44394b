// The form: what the user chose, laid over the server's defaults and kept within its ranges.
import type { RangeInfo, SettingsInfo, Start, Update } from "../protocol/generated";

export const NUMBERS = ["k", "temperature", "max_tokens", "top_p", "top_k", "min_p", "seed"] as const;
export type NumberField = (typeof NUMBERS)[number];

/** Only what the user touched; the rest follows the server's defaults. */
export interface Choices {
  readonly prompt: string;
  readonly drafter: string | null;
  readonly numbers: Partial<Readonly<Record<NumberField, number>>>;
}

export interface Form {
  readonly prompt: string;
  readonly drafter: string | null;
  readonly numbers: Readonly<Record<NumberField, number>>;
}

export const noChoices: Choices = { prompt: "", drafter: null, numbers: {} };

/** What the page offers before the server has said what it allows. */
const FALLBACK: Record<NumberField, RangeInfo & { value: number }> = {
  k: { min: 1, max: 16, step: 1, value: 4, help: "draft depth: tokens drafted per round" },
  temperature: { min: 0, max: 2, step: 0.05, value: 0, help: "sampling temperature; 0 is greedy" },
  max_tokens: { min: 64, max: 1024, step: 1, value: 256, help: "tokens to generate at most" },
  top_p: { min: 0.05, max: 1, step: 0.05, value: 1, help: "nucleus sampling" },
  top_k: { min: 0, max: 1000, step: 1, value: 0, help: "sample from the k most probable tokens; 0 is off" },
  min_p: { min: 0, max: 1, step: 0.01, value: 0, help: "drop tokens below this share of the best one" },
  seed: { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, value: 0, help: "seed of every random choice" },
};

/** Sliders cover the useful part of what the server allows. */
const OFFERED: Partial<Record<NumberField, { min: number; max: number; step?: number }>> = {
  k: { min: 1, max: 16 },
  max_tokens: { min: 64, max: 1024, step: 16 },
};

export function rangeOf(settings: SettingsInfo | null, field: NumberField): RangeInfo {
  const allowed = settings?.ranges[field] ?? FALLBACK[field];
  const offered = OFFERED[field];
  if (!offered) return allowed;
  return {
    ...allowed,
    min: Math.max(allowed.min, offered.min),
    max: Math.min(allowed.max, offered.max),
    step: offered.step ?? allowed.step,
  };
}

export function clamp(value: number, range: RangeInfo): number {
  const bounded = Math.min(range.max, Math.max(range.min, value));
  // Steps of 0.05 add up to 0.15000000000000002.
  return Number((Math.round(bounded / range.step) * range.step).toFixed(6));
}

function numberOf(settings: SettingsInfo | null, choices: Choices, field: NumberField): number {
  const standard = settings?.defaults[field];
  const value = choices.numbers[field] ?? (typeof standard === "number" ? standard : FALLBACK[field].value);
  const range = rangeOf(settings, field);
  return field === "seed" ? Math.round(Math.min(range.max, Math.max(range.min, value))) : clamp(value, range);
}

export function formFrom(settings: SettingsInfo | null, choices: Choices): Form {
  const numbers = {} as Record<NumberField, number>;
  for (const field of NUMBERS) numbers[field] = numberOf(settings, choices, field);
  return { prompt: choices.prompt, drafter: drafterOf(settings, choices.drafter), numbers };
}

function drafterOf(settings: SettingsInfo | null, chosen: string | null): string | null {
  if (!settings) return chosen;
  const available = settings.drafters.filter((drafter) => drafter.available).map((drafter) => drafter.name);
  const standard = settings.defaults.drafter;
  if (chosen !== null && available.includes(chosen)) return chosen;
  if (typeof standard === "string" && available.includes(standard)) return standard;
  return available[0] ?? null;
}

export function startMessage(form: Form, changes: Partial<Start> = {}): Start {
  return { type: "start", prompt: form.prompt, drafter: form.drafter, ...form.numbers, ...changes };
}

/** What differs from what is in force and may change while a run goes on; null if nothing does. */
export function updateMessage(
  form: Form,
  inForce: { k: number; drafter: string; temperature: number },
): Update | null {
  const message: Update = { type: "update" };
  if (form.numbers.k !== inForce.k) message.k = form.numbers.k;
  if (form.numbers.temperature !== inForce.temperature) message.temperature = form.numbers.temperature;
  if (form.drafter !== null && form.drafter !== inForce.drafter) message.drafter = form.drafter;
  return Object.keys(message).length > 1 ? message : null;
}

/** Reads what was saved; anything unexpected is left out. */
export function choicesFrom(saved: unknown, firstPrompt = ""): Choices {
  if (typeof saved !== "object" || saved === null) return { ...noChoices, prompt: firstPrompt };
  const { prompt, drafter, numbers } = saved as Record<string, unknown>;
  const kept: Partial<Record<NumberField, number>> = {};
  for (const field of NUMBERS) {
    const value = (numbers as Record<string, unknown> | null | undefined)?.[field];
    if (typeof value === "number" && Number.isFinite(value)) kept[field] = value;
  }
  return {
    prompt: typeof prompt === "string" ? prompt : "",
    drafter: typeof drafter === "string" ? drafter : null,
    numbers: kept,
  };
}
