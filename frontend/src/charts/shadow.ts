// The rows of the shadow drafters' table, as functions of the last scores.
import type { Shadow } from "../protocol/generated";
import { fixed } from "../words/format";
import { sourceOf } from "../words/sources";

const ORACLE = "oracle";

export interface ShadowRow {
  readonly drafter: string;
  readonly kind: "used" | "shadow" | "oracle";
  /** Mean number of matched tokens per draft. */
  readonly matched: number;
  /** `matched` / the highest `matched`, for a bar. */
  readonly share: number;
  /** Share of the rounds in which no other draft matched more. */
  readonly best: number;
  readonly draftMs: number | null;
  readonly colour: string;
}

/** One row per drafter, the oracle last. `used`: the drafters in use. `usedMs`: mean draft time if it is only one. */
export function shadowRows({ scores }: Shadow, used: readonly string[], usedMs: number | null): ShadowRow[] {
  const most = Math.max(...scores.map((score) => score.mean_matched), 1e-9);
  const rows = scores.map(({ drafter, mean_matched, best_share, mean_draft_ms }): ShadowRow => {
    const kind = drafter === ORACLE ? "oracle" : used.includes(drafter) ? "used" : "shadow";
    const colour = kind === "oracle" ? "var(--text-faint)" : sourceOf(drafter).colour;
    const draftMs = kind === "used" && used.length === 1 ? (mean_draft_ms ?? usedMs) : mean_draft_ms;
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
  const note =
    "Shadow drafters draft from the same prefix. Their drafts are not used, and not timed in the run.";
  if (temperature === 0) return note;
  const decimals = Number.isInteger(temperature * 10) ? 1 : 2;
  return `${note} At temperature ${fixed(temperature, decimals)} a draft is compared with the tokens that this run drew.`;
}
