// Playback: how many of the received events are shown, and when the next one follows. Time is an argument.
import type { ServerMessage } from "../protocol/generated";
import { Log } from "./log";
import type { Run } from "./model";
import { emptyRun, newBatch, reduce } from "./reducer";

export type PlaybackMode = "real" | "paced" | "slow";

export const DRAFT_MS = 50;
export const VERDICT_MS = 80;
export const SLOW_FACTOR = 4;
/** When paced, a live run may lag by the duration of so many rounds; beyond that the pace grows. */
export const LAG_ROUNDS = 2;
/** A background tab gets no frames. Its first frame must not skip through a recording. */
const LONGEST_TICK_MS = 250;

export interface Playback {
  readonly source: "recording" | "live";
  readonly events: Log<ServerMessage>;
  /** For each finished round: the number of events up to its end, and the run at that moment. */
  readonly roundEnds: Log<number>;
  readonly snapshots: Log<Run>;
  /** The run after all events, and after the shown ones. */
  readonly full: Run;
  readonly shown: Run;
  /** The number of events shown. */
  readonly cursor: number;
  readonly mode: PlaybackMode;
  readonly playing: boolean;
  /** Follows a live run: without lag in real time, with a bounded lag when paced. */
  readonly following: boolean;
  /** Time until the next event, when paced. */
  readonly waitMs: number;
  /** Time on the run's clock, when replayed in real time. */
  readonly clockMs: number;
}

const emptyPlayback = (source: Playback["source"], mode: PlaybackMode): Playback => ({
  source,
  events: Log.of(),
  roundEnds: Log.of(),
  snapshots: Log.of(),
  full: emptyRun,
  shown: emptyRun,
  cursor: 0,
  mode,
  playing: true,
  following: source === "live",
  waitMs: 0,
  clockMs: 0,
});

export const openLive = (mode: PlaybackMode): Playback => emptyPlayback("live", mode);

export function openRecording(events: readonly ServerMessage[], mode: PlaybackMode): Playback {
  const loaded = receive(emptyPlayback("recording", mode), events);
  return withCursor({ ...loaded, clockMs: 0 }, startCursor(loaded));
}

/** Adds new events. The shown run does not change. */
export function receive(play: Playback, events: readonly ServerMessage[]): Playback {
  if (events.length === 0) return play;
  const batch = newBatch();
  const roundEnds: number[] = [];
  const snapshots: Run[] = [];
  let full = play.full;
  for (const [at, event] of events.entries()) {
    full = reduce(full, event, batch);
    if (event.type !== "metrics") continue;
    roundEnds.push(play.events.length + at + 1);
    snapshots.push(full);
    batch.rounds = null; // the snapshot keeps this list
  }
  return {
    ...play,
    events: play.events.append(events),
    roundEnds: play.roundEnds.append(roundEnds),
    snapshots: play.snapshots.append(snapshots),
    full,
  };
}

/** Whether nothing that is shown differs: at most the clock moved. */
export const looksSame = (a: Playback, b: Playback): boolean =>
  a.full === b.full &&
  a.shown === b.shown &&
  a.cursor === b.cursor &&
  a.events === b.events &&
  a.playing === b.playing &&
  a.following === b.following &&
  a.mode === b.mode;

export const isComplete = (play: Playback): boolean =>
  play.full.phase === "done" || play.full.phase === "failed";
export const atEnd = (play: Playback): boolean => play.cursor >= play.events.length;
export const roundsShown = (play: Playback): number => countUpTo(play.roundEnds, play.cursor);
export const elapsedMs = (play: Playback): number =>
  play.cursor > 0 ? (play.events.at(play.cursor - 1)?.t_ms ?? 0) : 0;

/** Advances by `dtMs` of real time. */
export function tick(play: Playback, dtMs: number): Playback {
  if (!play.playing) return play;
  if (atEnd(play)) return isComplete(play) ? { ...play, playing: false, following: false } : play;
  if (play.mode !== "real") return paced(play, dtMs);
  if (play.following) return withCursor(play, play.events.length);
  const clockMs = play.clockMs + Math.min(dtMs, LONGEST_TICK_MS);
  let cursor = play.cursor;
  while ((play.events.at(cursor)?.t_ms ?? Number.POSITIVE_INFINITY) <= clockMs) cursor += 1;
  return { ...withCursor(play, cursor), clockMs };
}

/** A change of mode or speed is not noticed before. */
const LONGEST_WAIT_MS = 100;

/** Real time until `tick` shows something new, as far as that is known; at most a tenth of a second. */
export function untilNextMs(play: Playback): number {
  const next = play.playing ? play.events.at(play.cursor) : undefined;
  if (!next || (play.mode === "real" && play.following)) return 0;
  const waitMs = play.mode === "real" ? next.t_ms - play.clockMs : play.waitMs / pace(play);
  return Math.max(0, Math.min(LONGEST_WAIT_MS, waitMs));
}

function paced(play: Playback, dtMs: number): Playback {
  let waitMs = play.waitMs - Math.min(dtMs, LONGEST_TICK_MS) * pace(play);
  let cursor = play.cursor;
  while (waitMs <= 0 && cursor < play.events.length) {
    waitMs += durationMs(play.events.at(cursor));
    cursor += 1;
  }
  // Idle time is not saved up, or the next events would come in a burst.
  return { ...withCursor(play, cursor), waitMs: Math.max(0, waitMs) };
}

/**
 * Nominal milliseconds shown per millisecond of real time. For a live run it grows with the backlog, so that the lag
 * stays below the duration of about two rounds. Slow motion keeps its pace, so that one can look closely.
 */
function pace(play: Playback): number {
  if (play.mode === "slow") return 1 / SLOW_FACTOR;
  if (!play.following) return 1;
  const backlogMs = totalMs(play.events, play.cursor, play.events.length);
  return Math.max(1, backlogMs / allowedLagMs(play));
}

/** Duration of the last two finished rounds when paced. */
export function allowedLagMs(play: Playback): number {
  const end = play.roundEnds.at(-1) ?? 0;
  const begin = play.roundEnds.at(-1 - LAG_ROUNDS) ?? 0;
  return Math.max(LAG_ROUNDS * (DRAFT_MS + VERDICT_MS), totalMs(play.events, begin, end));
}

function totalMs(events: Log<ServerMessage>, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at += 1) sum += durationMs(events.at(at));
  return sum;
}

function durationMs(event: ServerMessage | undefined): number {
  if (event?.type === "draft_token") return DRAFT_MS;
  if (event?.type !== "verify_result") return 0;
  // Tokens that were never tested take no time of their own. In a tree they are the majority.
  return event.status === "discarded" && event.acceptance_prob === null ? 0 : VERDICT_MS;
}

export function play(state: Playback): Playback {
  if (isComplete(state) && atEnd(state)) {
    return { ...withCursor(state, startCursor(state)), playing: true, following: false, clockMs: 0 };
  }
  return { ...onClock(state), playing: true, following: !isComplete(state) };
}

export const pause = (state: Playback): Playback => ({ ...state, playing: false, following: false });

export const setMode = (state: Playback, mode: PlaybackMode): Playback => ({
  ...onClock(state),
  mode,
  waitMs: 0,
});

/** Shows the first `rounds` rounds. In a live run, going back pauses and going to its end follows again. */
export function seekRound(state: Playback, rounds: number): Playback {
  const last = state.roundEnds.length;
  const wanted = Math.max(0, Math.min(last, Math.round(rounds)));
  const follows = !isComplete(state) && wanted === last && state.playing;
  const end = includingRunEnd(state, endOf(state, wanted) ?? startCursor(state));
  const target = onClock({ ...withCursor(state, end), waitMs: 0 });
  return { ...target, playing: state.playing && (follows || isComplete(state)), following: follows };
}

export const goLive = (state: Playback): Playback => ({
  ...withCursor(state, state.events.length),
  waitMs: 0,
  playing: !isComplete(state),
  following: !isComplete(state),
});

/** One drafted token or verdict forward or back. */
export function stepEvent(state: Playback, direction: 1 | -1): Playback {
  let cursor = state.cursor + direction;
  while (cursor > 0 && cursor < state.events.length && !isStep(state.events, cursor)) cursor += direction;
  return stepTo(state, cursor);
}

/** To the next or previous end of a round. */
export function stepRound(state: Playback, direction: 1 | -1): Playback {
  const passed = countUpTo(state.roundEnds, state.cursor);
  if (direction > 0)
    return stepTo(state, includingRunEnd(state, endOf(state, passed + 1) ?? state.events.length));
  const here = endOf(state, passed) ?? 0;
  const atRoundEnd = totalMs(state.events, here, state.cursor) === 0;
  return stepTo(state, endOf(state, passed - (atRoundEnd ? 1 : 0)) ?? 0);
}

/** The number of events up to the end of the first `rounds` rounds; null before the first, and after the last. */
const endOf = ({ roundEnds }: Playback, rounds: number): number | null =>
  rounds > 0 ? (roundEnds.at(rounds - 1) ?? null) : null;

/** The end of a run belongs to its last round: after that round the cursor moves to the last event. */
const includingRunEnd = (state: Playback, cursor: number): number =>
  state.events.findIndex((event) => durationMs(event) > 0, cursor) < 0 ? state.events.length : cursor;

function stepTo(state: Playback, cursor: number): Playback {
  const target = Math.max(startCursor(state), Math.min(state.events.length, cursor));
  return onClock({ ...withCursor(state, target), playing: false, following: false, waitMs: 0 });
}

/** Steps stop before each drafted token and verdict. */
const isStep = (events: Log<ServerMessage>, cursor: number): boolean => durationMs(events.at(cursor)) > 0;

/** After the events that come before the first round. */
export function startCursor(state: Playback): number {
  const first = state.events.findIndex((event) => durationMs(event) > 0);
  return first < 0 ? state.events.length : first;
}

const onClock = (state: Playback): Playback => ({ ...state, clockMs: elapsedMs(state) });

/** Shows the first `cursor` events. */
export const showEvents = (state: Playback, cursor: number): Playback => withCursor(state, cursor);

function withCursor(state: Playback, cursor: number): Playback {
  return cursor === state.cursor ? state : { ...state, cursor, shown: runAt(state, cursor) };
}

/** The run after `cursor` events. Runs at the end of a round come from the snapshots, so they stay the same objects. */
function runAt(state: Playback, cursor: number): Run {
  if (cursor >= state.events.length) return state.full;
  const rounds = countUpTo(state.roundEnds, cursor);
  const bound = endOf(state, rounds) ?? 0;
  const continues = state.cursor >= bound && state.cursor <= cursor;
  const snapshot = rounds > 0 ? state.snapshots.at(rounds - 1) : undefined;
  const batch = newBatch();
  let run = continues ? state.shown : (snapshot ?? emptyRun);
  for (let at = continues ? state.cursor : bound; at < cursor; at += 1) {
    const event = state.events.at(at);
    if (event) run = reduce(run, event, batch);
  }
  return run;
}

/** The number of entries of the ascending `roundEnds` that are at most `limit`. */
function countUpTo(roundEnds: Log<number>, limit: number): number {
  let low = 0;
  let high = roundEnds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((roundEnds.at(middle) ?? Number.POSITIVE_INFINITY) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
