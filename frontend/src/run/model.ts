// The model of a run. Only the reducer builds it, from events alone.
import type {
  Done,
  DraftToken,
  ExactnessInfo,
  Failure,
  Loading,
  Metrics,
  Queued,
  Shadow,
  Start,
  Started,
  Updated,
  VerifyResult,
} from "../protocol/generated";
import type { Warnings } from "./warnings";

export type Status = VerifyResult["status"];
export type RuleName = Started["rule"];
export type PolicyName = NonNullable<Start["policy"]>;
export type ExactnessLabel = ExactnessInfo["label"];

/** A token of the tree and the text. It is the same object wherever it appears. */
export interface Token {
  /** Unique within a run: `round:node`, or `round:+` for the extra token after the accepted path. */
  readonly key: string;
  readonly round: number;
  /** Index in the round's draft; null for the extra token after the accepted path. */
  readonly node: number | null;
  /** The node of the parent; null for the last committed token. */
  readonly parent: number | null;
  /** Depth below the committed text, from 0. */
  readonly position: number;
  readonly tokenId: number;
  /** The token's own text, with bytes outside UTF-8 escaped. */
  readonly label: string;
  readonly status: Status;
  /** The visible text that the token adds; empty unless it was emitted. */
  readonly text: string;
  /** The rule that verifies the drafts of the run. */
  readonly rule: RuleName;
  /** Whether the temperature was 0: p is the point mass on the target's most probable token. */
  readonly greedy: boolean;
  /** Whether the draft was compared with a token that the target drew, without probabilities. */
  readonly compared: boolean;
  readonly draft: DraftToken | null;
  readonly verdict: VerifyResult | null;
}

export interface Round {
  readonly index: number;
  /** Draft nodes in node order. */
  readonly drafted: readonly Token[];
  /** The tokens that the round committed, in order: accepted nodes, then the extra token. */
  readonly emitted: readonly Token[];
  /** Times and metrics; null until the round is over. */
  readonly metrics: Metrics | null;
}

export type Phase = "idle" | "queued" | "running" | "done" | "failed";

export interface Run {
  readonly id: string | null;
  readonly phase: Phase;
  readonly queued: Queued | null;
  /** How far the loading of another target than the server's own is; null if nothing was loaded. */
  readonly loading: Loading | null;
  readonly started: Started | null;
  readonly rounds: readonly Round[];
  readonly updates: readonly Updated[];
  /** The drafters of this run's tokens, in the order of their first token. */
  readonly sources: readonly string[];
  readonly latest: Metrics | null;
  /** The weakest exactness that a round reported; null before the first. */
  readonly weakest: ExactnessLabel | null;
  /** The last scores and drafts of the shadow drafters. */
  readonly shadow: Shadow | null;
  readonly warnings: Warnings;
  readonly done: Done | null;
  readonly failure: Failure | null;
}
