// What the table of shadows shows, as pure functions of the last scores.
import type { Shadow } from "../protocol/generated";
import { fixed } from "../words/format";
import { sourceOf } from "../words/sources";

const ORACLE = "oracle";

export interface ShadowRow {
  readonly drafter: string;
  readonly kind: "used" | "shadow" | "oracle";
  /** Mean number of tokens. */
  readonly matched: number;
  /** Of the highest mean; for a bar. */
  readonly share: number;
  readonly best: number;
  readonly draftMs: number | null;
  readonly colour: string;
}

/** One row a drafter, the oracle last. `used`: the one in use, whose drafts took `ownMs` in the run. */
export function shadowRows({ scores }: Shadow, used: string | null, ownMs: number | null): ShadowRow[] {
  const most = Math.max(...scores.map((score) => score.mean_matched), 1e-9);
  const rows = scores.map(({ drafter, mean_matched, best_share, mean_draft_ms }): ShadowRow => {
    const kind = drafter === ORACLE ? "oracle" : drafter === used ? "used" : "shadow";
    const colour = kind === "oracle" ? "var(--text-faint)" : sourceOf(drafter).colour;
    const draftMs = kind === "used" ? (mean_draft_ms ?? ownMs) : mean_draft_ms;
    return {
      drafter,
      kind,
      matched: mean_matched,
      share: mean_matched / most,
      best: best_share,
      draftMs,
      colour,
    };
  });
  return rows.toSorted((a, b) => Number(a.kind === "oracle") - Number(b.kind === "oracle"));
}

export function shadowNote(temperature: number): string {
  const note = "Shadows guess from the same prefix; they are not used, and not timed in the run.";
  if (temperature === 0) return note;
  const decimals = Number.isInteger(temperature * 10) ? 1 : 2;
  return `${note} At temperature ${fixed(temperature, decimals)} a guess is scored against the tokens that this run happened to emit.`;
}
