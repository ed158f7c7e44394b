// Numbers and token text as words. An unknown number is a dash.
export const DASH = "–";

type Maybe = number | null | undefined;

const known = (value: Maybe): value is number =>
  value !== null && value !== undefined && Number.isFinite(value);

/** A value that rounds to zero has no sign. */
export const fixed = (value: Maybe, digits = 2): string =>
  known(value)
    ? value
        .toFixed(digits)
        .replace(/^-(?=[0.]*$)/, "")
        .replace("-", "−")
    : DASH;

/** A probability in percent, with enough digits that it reads 0 % or 100 % only if it is. */
export function percent(value: Maybe): string {
  if (!known(value)) return DASH;
  if (value === 0 || value === 1) return `${value * 100} %`;
  if (value < 0.0001) return "< 0.01 %";
  if (value > 0.9999) return "> 99.99 %";
  const points = value * 100;
  const digits = points < 1 || points > 99 ? 2 : points < 10 || points > 90 ? 1 : 0;
  return `${points.toFixed(digits)} %`;
}

const ROUNDINGS = { nearest: Math.round, up: Math.ceil } as const;

/** A total variation, 0 to 1, never in percent: three decimals, four below 0.01. Upper bounds are rounded up. */
export function variation(value: Maybe, rounding: keyof typeof ROUNDINGS = "nearest"): string {
  if (!known(value)) return DASH;
  if (value === 0) return "0";
  if (value < 0.0001) return "< 0.0001";
  const scale = value < 0.01 ? 10_000 : 1000;
  // 0.035 · 1000 is 35.00000000000001, which must not become 0.036.
  const steps = ROUNDINGS[rounding](Number((value * scale).toPrecision(12)));
  return (steps / scale).toFixed(scale === 1000 ? 3 : 4);
}

export const probability = (logprob: Maybe): number | null => (known(logprob) ? Math.exp(logprob) : null);

export function milliseconds(value: Maybe): string {
  if (!known(value)) return DASH;
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  if (value === 0) return "0 ms";
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

export const seconds = (valueMs: Maybe): string =>
  known(valueMs) ? `${(valueMs / 1000).toFixed(1)} s` : DASH;

const scaled = (value: number, units: readonly string[]): string => {
  const step = value > 0 ? Math.min(units.length - 1, Math.floor(Math.log10(value) / 3)) : 0;
  const shown = value / 1000 ** step;
  return `${shown.toFixed(step === 0 || shown >= 100 ? 0 : shown >= 10 ? 1 : 2)} ${units[step]}`.trim();
};

/** A file size in decimal units: 98.4 MB. */
export const bytes = (value: Maybe): string =>
  known(value) ? scaled(value, ["bytes", "kB", "MB", "GB", "TB"]) : DASH;

/** The size of messages in binary units: 2.9 KiB. */
export function kibibytes(value: Maybe): string {
  if (!known(value)) return DASH;
  if (value < 1024) return `${Math.round(value)} bytes`;
  const kib = value / 1024;
  return kib < 1024 ? `${kib.toFixed(1)} KiB` : `${(kib / 1024).toFixed(1)} MiB`;
}

/** A count in digits: 12,480. */
export const whole = (value: Maybe): string => (known(value) ? value.toLocaleString("en-GB") : DASH);

/** A count with its noun: 1 token, 2 tokens. */
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** A large count in words: 494 million. */
export const counted = (value: Maybe): string =>
  known(value) ? scaled(value, ["", "thousand", "million", "billion"]) : DASH;

/** White space made visible, for labels outside running text. */
export const shown = (label: string): string =>
  label.replaceAll("\r", "␍").replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "·");

const NO_BREAK_SPACE = "\u00a0";

/** The same within a sentence, where spaces stay spaces, all of them, on one line. */
export const shownInText = (label: string): string =>
  label.replaceAll("\r", "␍").replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", NO_BREAK_SPACE);

const NAMED: [RegExp, string][] = [
  [/^\n+$/, "line break"],
  [/^ +$/, "spaces"],
  [/^\s+$/, "white space"],
];

/** The name of a token for a screen reader. */
export function spoken(label: string): string {
  for (const [pattern, name] of NAMED) if (pattern.test(label)) return name;
  return label.trim() || "empty";
}

export function day(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
}
