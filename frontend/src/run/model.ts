// What the page knows of a run: built only by the reducer, from events alone.
import type {
  Done,
  DraftToken,
  ExactnessInfo,
  Failure,
  Metrics,
  Queued,
  Shadow,
  Started,
  Updated,
  VerifyResult,
} from "../protocol/generated";
import type { Warnings } from "./warnings";

export type Status = VerifyResult["status"];
export type RuleName = Started["rule"];
export type ExactnessLabel = ExactnessInfo["label"];

/** A token as drawn in the tree and the text; the same object wherever it appears. */
export interface Token {
  /** Unique within a run: `round:node`, or `round:+` for the token behind the accepted path. */
  readonly key: string;
  readonly round: number;
  /** Index in the round's draft; null for the token behind the accepted path. */
  readonly node: number | null;
  /** Draft node this one hangs on; null for the last committed token. */
  readonly parent: number | null;
  /** Depth below the committed text, from 0. */
  readonly position: number;
  readonly tokenId: number;
  /** The token's own text, with bytes outside UTF-8 escaped. */
  readonly label: string;
  readonly status: Status;
  /** What it adds to the visible text; empty unless emitted. */
  readonly text: string;
  /** How the run decides about drafted tokens. */
  readonly rule: RuleName;
  /** Decided by comparing the draft with the target's own draw, of which no probability is known. */
  readonly compared: boolean;
  readonly draft: DraftToken | null;
  readonly verdict: VerifyResult | null;
}

export interface Round {
  readonly index: number;
  /** Draft nodes in node order. */
  readonly drafted: readonly Token[];
  /** What the round committed, in order: accepted nodes, then the token behind them. */
  readonly emitted: readonly Token[];
  /** Times and metrics; null until the round is over. */
  readonly metrics: Metrics | null;
}

export type Phase = "idle" | "queued" | "running" | "done" | "failed";

export interface Run {
  readonly id: string | null;
  readonly phase: Phase;
  readonly queued: Queued | null;
  readonly started: Started | null;
  readonly rounds: readonly Round[];
  readonly updates: readonly Updated[];
  /** Who drafted, in the order in which they first did. */
  readonly sources: readonly string[];
  readonly latest: Metrics | null;
  /** The weakest exactness any round reported; null before the first. */
  readonly weakest: ExactnessLabel | null;
  /** What further drafters guessed, up to the last round of which the following tokens are known. */
  readonly shadow: Shadow | null;
  readonly warnings: Warnings;
  readonly done: Done | null;
  readonly failure: Failure | null;
}
