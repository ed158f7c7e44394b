// One decision of the verification rule: p and q as the rule used them, for the same tokens.
import type { Round, Run, Token } from "./model";
import { failedAlternatives, roundAt } from "./selectors";

export interface DecisionRow {
  readonly tokenId: number;
  readonly label: string;
  readonly p: number;
  /** Null where the rule reads no q. */
  readonly q: number | null;
  /** The part that the rule may accept: min(p, q). Equal to p without a q. */
  readonly overlap: number;
  /** p − min(p, q): what a rejection draws from, before it is normalised. */
  readonly residual: number;
  /** q − min(p, q): what the rule rejects. */
  readonly excess: number;
}

export interface Decision {
  /** The most probable tokens, most probable first. */
  readonly rows: readonly DecisionRow[];
  /** The token that was tested; null for a token that was drawn from p itself. */
  readonly tested: Token | null;
  /** The token that was emitted after the same parent; null if there is none. */
  readonly emitted: Token | null;
  /**
   * The uniform on the scale of q: u · q of the tested token. Modified rejection sampling accepts it if that lies in
   * min(p, q). Null for another rule, and for a certain decision.
   */
  readonly needle: number | null;
  /** Whether only the tested token is known, because the target reports no others. */
  readonly partial: boolean;
}

function rowOf(tokenId: number, label: string, p: number, q: number | null): DecisionRow {
  const overlap = q === null ? p : Math.min(p, q);
  const excess = q === null ? 0 : q - overlap;
  return { tokenId, label, p, q, overlap, residual: p - overlap, excess };
}

function rowsOf({ verdict, tokenId, label }: Token): DecisionRow[] {
  const shown = verdict?.compared ?? [];
  if (shown.length > 0)
    return shown.map((one) => rowOf(one.token_id, one.token, one.target_prob, one.draft_prob));
  const p = verdict?.target_prob ?? null;
  return p === null ? [] : [rowOf(tokenId, label, p, verdict?.draft_prob ?? null)];
}

/** u · q, where the rule compares it with min(p, q). */
function needleOf({ rule, verdict }: Token): number | null {
  if (rule !== "token" || verdict?.uniform == null || verdict.draft_prob === null) return null;
  return verdict.uniform * verdict.draft_prob;
}

/** A resampled token is drawn from the residual of the last test that failed, if the rule compares p with q. */
function decidedWith(round: Round, token: Token): Token {
  const readsQ = token.rule === "token" || token.rule === "block";
  if (token.status !== "resampled" || !readsQ) return token;
  return failedAlternatives(round, token).at(-1) ?? token;
}

/** The decision about a token; that of the failed test for a token that replaces a draft. Null without probabilities. */
export function decisionOf(run: Run, token: Token): Decision | null {
  const round = roundAt(run, token.round);
  if (!round) return null;
  const source = decidedWith(round, token);
  const rows = rowsOf(source);
  if (rows.length === 0) return null;
  return {
    rows,
    tested: source.node === null ? null : source,
    emitted: round.emitted.find((other) => other.parent === source.parent) ?? null,
    needle: source.node === null ? null : needleOf(source),
    partial: (source.verdict?.compared ?? []).length === 0,
  };
}

/** The normalised residual of a resampled token by token id; empty if it is not known. */
export const redrawOf = ({ verdict }: Token): ReadonlyMap<number, number> =>
  new Map((verdict?.residual_top_tokens ?? []).map((top) => [top.token_id, Math.exp(top.logprob)]));
