// The run after an event. Parts that the event does not change stay the same objects, so views can compare references.
import type { DraftToken, Failure, Metrics, ServerMessage, VerifyResult } from "../protocol/generated";
import { weaker } from "./exactness";
import type { Round, Run, Token } from "./model";
import { withWarning } from "./warnings";

export const emptyRun: Run = {
  id: null,
  phase: "idle",
  queued: null,
  loading: null,
  started: null,
  rounds: [],
  updates: [],
  sources: [],
  latest: null,
  weakest: null,
  shadow: null,
  warnings: [],
  done: null,
  failure: null,
};

/** What one batch of events has copied: a list of rounds that only the batch has seen, and that it may change in place. */
export interface Batch {
  rounds: Round[] | null;
}

export const newBatch = (): Batch => ({ rounds: null });

/**
 * The run after the event. With a batch, the run before the event may change, unless `batch.rounds` was set to null after
 * it was returned.
 */
export function reduce(run: Run, event: ServerMessage, batch: Batch = newBatch()): Run {
  if (event.type === "queued") return { ...emptyRun, id: event.run, phase: "queued", queued: event };
  if (event.type === "loading") {
    return { ...emptyRun, id: event.run, phase: "queued", queued: run.queued, loading: event };
  }
  if (event.type === "started") {
    const { queued, loading } = run;
    return { ...emptyRun, id: event.run, phase: "running", queued, loading, started: event };
  }
  if (run.id !== null && event.run !== null && event.run !== run.id) return run;
  switch (event.type) {
    case "draft_token":
      return {
        ...withRound(run, event.round, batch, (round) => addDraft(round, event, settingsOf(run))),
        sources: run.sources.includes(event.source) ? run.sources : [...run.sources, event.source],
      };
    case "verify_result":
      return withRound(run, event.round, batch, (round) => addVerdict(round, event, settingsOf(run)));
    case "metrics":
      return {
        ...withRound(run, event.round, batch, (round) => closeRound(round, event)),
        latest: event,
        weakest: run.weakest === null ? event.exactness : weaker(run.weakest, event.exactness),
      };
    case "updated":
      return { ...run, updates: [...run.updates, event] };
    case "shadow":
      return { ...run, shadow: event };
    case "record":
      return run; // for what-if questions
    case "warning":
      return { ...run, warnings: withWarning(run.warnings, event) };
    case "done":
      return { ...run, phase: event.finish_reason === "error" ? "failed" : "done", done: event };
    case "error":
      return fail(run, event);
  }
}

export const reduceAll = (run: Run, events: Iterable<ServerMessage>): Run => {
  const batch = newBatch();
  let result = run;
  for (const event of events) result = reduce(result, event, batch);
  return result;
};

/** An error after the end changes nothing. If the run goes on after an error, its next event sets the phase again. */
function fail(run: Run, event: Failure): Run {
  if (run.phase === "done") return run;
  return { ...run, phase: "failed", failure: event };
}

function withRound(run: Run, index: number, batch: Batch, change: (round: Round) => Round): Run {
  const rounds = batch.rounds !== null && batch.rounds === run.rounds ? batch.rounds : run.rounds.slice();
  batch.rounds = rounds;
  let at = rounds.length - 1;
  while (at >= 0 && (rounds[at]?.index ?? -1) > index) at -= 1;
  const found = rounds[at];
  if (found && found.index === index) rounds[at] = change(found);
  else rounds.splice(at + 1, 0, change({ index, drafted: [], emitted: [], metrics: null }));
  const alive = run.done === null ? "running" : run.phase;
  return { ...run, phase: alive, rounds };
}

/** What decides about the tokens of the round in progress. */
type Deciding = Pick<Token, "rule" | "greedy">;

function settingsOf({ started, updates }: Run): Deciding {
  const sampling = (updates.at(-1) ?? started)?.sampling;
  return { rule: started?.rule ?? "token", greedy: sampling?.temperature === 0 };
}

function addDraft(round: Round, event: DraftToken, deciding: Deciding): Round {
  const token: Token = {
    key: `${event.round}:${event.node}`,
    round: event.round,
    node: event.node,
    parent: event.parent,
    position: event.position,
    tokenId: event.token_id,
    label: event.token,
    status: "pending",
    text: "",
    ...deciding,
    compared: false,
    draft: event,
    verdict: null,
  };
  const drafted = round.drafted.filter((other) => other.node !== event.node);
  return { ...round, drafted: [...drafted, token] };
}

const EMITTED: ReadonlySet<VerifyResult["status"]> = new Set([
  "accepted",
  "resampled",
  "bonus",
  "plain",
  "received",
]);

function addVerdict(round: Round, event: VerifyResult, deciding: Deciding): Round {
  const before = event.node === null ? undefined : round.drafted.find((token) => token.node === event.node);
  const emitted = EMITTED.has(event.status);
  const token: Token = {
    key: `${event.round}:${event.node ?? "+"}`,
    round: event.round,
    node: event.node,
    parent: before ? before.parent : (round.emitted.at(-1)?.node ?? null),
    position: event.position,
    tokenId: event.token_id,
    label: before?.label ?? event.final_token ?? event.draft_token ?? "",
    status: event.status,
    text: emitted ? event.text : "",
    ...deciding,
    compared: isCompared(round, event),
    draft: before?.draft ?? null,
    verdict: event,
  };
  return {
    ...round,
    drafted: withToken(round.drafted, before, token),
    emitted: emitted ? [...round.emitted, token] : round.emitted,
  };
}

/** The extra token counts as compared if the draft before it was compared. */
function isCompared(round: Round, event: VerifyResult): boolean {
  if (event.node === null) return round.drafted.some((token) => token.compared);
  const tested = event.status === "accepted" || event.status === "rejected";
  return tested && event.acceptance_prob === null;
}

function withToken(drafted: readonly Token[], before: Token | undefined, token: Token): readonly Token[] {
  if (before) return drafted.map((other) => (other === before ? token : other));
  return token.node === null ? drafted : [...drafted, token];
}

const closeRound = (round: Round, metrics: Metrics): Round => ({ ...round, metrics });
