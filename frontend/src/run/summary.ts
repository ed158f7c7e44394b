// What a list of runs shows of a run: its settings, its figures and its end.
import type { RunSummary } from "../protocol/generated";
import type { Round, Run, Token } from "./model";
import { type UnlikePasses, unlikePasses } from "./unlike";

/** The summary of a run, as the server makes it; null before the run started. `inWords`: why no speedup is claimed. */
export function summaryOf(run: Run, inWords: (unlike: UnlikePasses) => string): RunSummary | null {
  const { started, latest, done, failure, weakest } = run;
  if (!started) return null;
  const figures = done?.metrics ?? latest;
  const plainTps = figures?.baseline_tps ?? started.baseline?.tps ?? null;
  const unlike = plainTps === null ? null : unlikePasses(run, plainTps);
  return {
    target: started.target_model.name,
    draft: started.draft_model?.name ?? null,
    drafter: started.drafter,
    policy: started.policy,
    k: started.k,
    nodes: started.nodes,
    rule: started.rule,
    sampling: started.sampling,
    max_tokens: started.max_tokens,
    seed: started.seed,
    exactness: weakest ?? started.exactness.label,
    prompt_tokens: started.prompt_tokens,
    tokens: figures?.tokens ?? 0,
    rounds: figures?.rounds ?? 0,
    accepted: figures?.accepted ?? 0,
    drafted: figures?.drafted ?? 0,
    acceptance_rate: figures?.overall_acceptance_rate ?? null,
    // The rounds of another server are not known.
    tokens_per_round: figures?.rounds && !started.watched ? figures.tokens / figures.rounds : null,
    tps: figures?.overall_tps ?? null,
    baseline_tps: plainTps,
    speedup: unlike ? null : (figures?.overall_speedup ?? null),
    unlike: unlike && inWords(unlike),
    ttft_ms: figures?.ttft_ms ?? null,
    ended: done?.finish_reason ?? (failure ? "error" : null),
    failure: failure ? `${failure.message} ${failure.hint}`.trim() : null,
    sweep: null,
    watched: started.watched,
  };
}

const tokensOf = ({ drafted, emitted }: Round): Token[] => [
  ...drafted,
  ...emitted.filter(({ node }) => node === null),
];

/** The number of a token in its round, from 1: drafted tokens first, then the token after the accepted path. */
export function tokenNumber(run: Run, key: string): number | null {
  const round = run.rounds.find(({ index }) => key.startsWith(`${index}:`));
  const at = round ? tokensOf(round).findIndex((token) => token.key === key) : -1;
  return at < 0 ? null : at + 1;
}

/** The key of a token by its round and its number there, both from 1; null if there is none. */
export function tokenKey(run: Run, round: number, number: number): string | null {
  const found = run.rounds[round - 1];
  return (found && tokensOf(found)[number - 1]?.key) ?? null;
}

/** The position of the first character that differs, counted in whole characters; null if the texts are equal. */
export function firstDifference(a: string, b: string): number | null {
  const [left, right] = [[...a], [...b]];
  const at = left.findIndex((character, index) => character !== right[index]);
  if (at >= 0) return at;
  return left.length === right.length ? null : left.length;
}
