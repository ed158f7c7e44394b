// What views ask of a run. Pure; nothing is kept between calls.
import type { ModelInfo, RemoteInfo, Updated } from "../protocol/generated";
import type { Round, Run, Token } from "./model";

/** The committed text as tokens, in order. */
export const spine = (run: Run): Token[] => run.rounds.flatMap((round) => round.emitted);

export const emittedCount = (run: Run): number =>
  run.rounds.reduce((sum, round) => sum + round.emitted.length, 0);

export const visibleText = (run: Run): string =>
  run.rounds.map((round) => round.emitted.map((token) => token.text).join("")).join("") +
  (run.done?.text_tail ?? "");

export function roundAt(run: Run, index: number): Round | null {
  const direct = run.rounds[index];
  if (direct?.index === index) return direct;
  return run.rounds.find((round) => round.index === index) ?? null;
}

export function tokenByKey(run: Run, key: string | null): Token | null {
  if (key === null) return null;
  const round = roundAt(run, Number.parseInt(key, 10));
  if (!round) return null;
  const same = (token: Token) => token.key === key;
  return round.drafted.find(same) ?? round.emitted.find(same) ?? null;
}

/** The rejected draft token that this resampled token stands in for. */
export function replacedBy(run: Run, token: Token): Token | null {
  if (token.status !== "resampled") return null;
  const rejected = roundAt(run, token.round)?.drafted.filter((other) => other.status === "rejected") ?? [];
  return rejected.find((other) => other.parent === token.parent) ?? rejected.at(-1) ?? null;
}

/** The token that took the place of this rejected one. */
export function replacementOf(run: Run, token: Token): Token | null {
  if (token.status !== "rejected") return null;
  const last = roundAt(run, token.round)?.emitted.at(-1);
  return last?.status === "resampled" ? last : null;
}

/** Drafted tokens of the open round that nothing has decided in favour of yet, along its first path. */
export function ghosts(run: Run): readonly Token[] {
  const round = run.rounds.at(-1);
  if (!round || round.metrics || run.done) return [];
  const path: Token[] = [];
  let parent: number | null = round.emitted.at(-1)?.node ?? null;
  if (round.emitted.some((token) => token.node === null)) return [];
  for (const token of round.drafted) {
    if (token.parent !== parent || token.status === "accepted") continue;
    path.push(token);
    parent = token.node;
  }
  return path;
}

/**
 * The running text, cut behind each token that ends a line: what a growing text has to lay out anew is its last line.
 * Behind the committed tokens come the drafted ones; rejected ones stand before their replacement if asked for.
 */
export function textLines(run: Run, showRejected: boolean): Token[][] {
  const lines: Token[][] = [];
  let line: Token[] = [];
  const add = (token: Token) => {
    if (line.length === 0) lines.push(line);
    line.push(token);
    if (token.text.endsWith("\n")) line = [];
  };
  for (const round of run.rounds) {
    for (const token of round.emitted) {
      if (showRejected && token.node === null) {
        for (const gone of round.drafted) if (gone.status === "rejected") add(gone);
      }
      add(token);
    }
  }
  ghosts(run).forEach(add);
  return lines;
}

/** What a run that shows nothing yet waits for; null where it does not wait. */
export function waitingFor(run: Run): string | null {
  if (run.phase === "running") return run.rounds.length === 0 ? "Reading the prompt…" : null;
  if (run.phase !== "queued" || !run.queued) return null;
  const { place } = run.queued;
  return place === 1
    ? "The model is taken; this run is next."
    : `The model is taken; this run is number ${place} in the queue.`;
}

export type RoundEnd = "rejection" | "bonus" | "plain" | "open";

/** One round in the scrubber. `share` is accepted over drafted; null where nothing was drafted. */
export interface Cell {
  readonly index: number;
  readonly accepted: number;
  readonly drafted: number;
  readonly share: number | null;
  readonly end: RoundEnd;
}

function roundEnd(round: Round): RoundEnd {
  const last = round.emitted.at(-1);
  if (round.drafted.some((token) => token.status === "rejected")) return "rejection";
  if (last?.status === "bonus") return "bonus";
  if (last?.status === "plain") return "plain";
  return "open";
}

export function cellOf(round: Round): Cell {
  const accepted = round.emitted.filter((token) => token.status === "accepted").length;
  const drafted = round.metrics?.round_drafted ?? round.drafted.length;
  return {
    index: round.index,
    accepted,
    drafted,
    share: drafted > 0 ? accepted / drafted : null,
    end: roundEnd(round),
  };
}

export const scrubberCells = (run: Run): Cell[] => run.rounds.map(cellOf);

/** The target elsewhere as it verifies now: an update can change the mode. */
export const remoteOf = (run: Pick<Run, "started" | "updates">): RemoteInfo | null =>
  run.updates.at(-1)?.remote ?? run.started?.remote ?? null;

/** What is in force now: what the run started with, overlaid by its updates. */
export function inForce(run: Run): { k: number; drafter: string; temperature: number } | null {
  const source: Pick<Updated, "k" | "drafter" | "sampling"> | null = run.updates.at(-1) ?? run.started;
  return source && { k: source.k, drafter: source.drafter, temperature: source.sampling.temperature };
}

/** The first round in which the value now in force was in force; null if the run began with it. */
export function changedAtRound(
  run: Run,
  value: (at: Pick<Updated, "k" | "drafter" | "sampling">) => unknown,
): number | null {
  if (!run.started) return null;
  let before = value(run.started);
  let changed: number | null = null;
  for (const update of run.updates) {
    if (value(update) !== before) changed = update.round;
    before = value(update);
  }
  return changed;
}

/** "Qwen2.5-Coder 1.5B" and the like stay as they are; only a path or file ending is dropped. */
export function modelTitle(model: ModelInfo): string {
  return (model.name.split("/").at(-1) ?? model.name).replace(/\.gguf$/i, "").replace(/-instruct$/i, "");
}
