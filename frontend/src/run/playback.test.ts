import { describe, expect, it } from "vitest";
import { done, roundOf, started, timed } from "../testing/messages";
import type { Playback } from "./playback";
import * as playback from "./playback";

const words = ["a", "b", "c"];
const run = (rounds: number) =>
  timed([started(), ...Array.from({ length: rounds }, (_, at) => roundOf(at, words, 1, "d")).flat(), done()]);
/** Three drafts, two tests, and the extra token. The discarded token takes no time. */
const ROUND_MS = 3 * playback.DRAFT_MS + 3 * playback.VERDICT_MS;
const PER_ROUND = 8;

function ticks(state: Playback, count: number, dtMs = 10): Playback {
  let now = state;
  for (let at = 0; at < count; at += 1) now = playback.tick(now, dtMs);
  return now;
}

describe("a recording", () => {
  it("plays in real time by its own clock, and stops at its end", () => {
    const opened = playback.openRecording(run(2), "real");
    expect(opened.cursor).toBe(1);
    expect(playback.tick(opened, 9).cursor).toBe(1);
    expect(ticks(opened, 5).cursor).toBe(6);
    const ended = ticks(opened, 40);
    expect(ended.shown).toBe(ended.full);
    expect(ended.playing).toBe(false);
    expect(playback.play(ended)).toMatchObject({ playing: true, cursor: 1 });
  });

  it("does not skip ahead after the tab was in the background", () => {
    const opened = playback.openRecording(run(20), "real");
    expect(playback.tick(opened, 60_000).cursor).toBeLessThan(30);
  });

  it("takes 50 ms for a draft and 80 ms for a verdict when paced, four times that when slow", () => {
    const paced = playback.tick(playback.openRecording(run(2), "paced"), 0);
    expect(paced.cursor).toBe(2);
    expect(playback.tick(paced, playback.DRAFT_MS - 1).cursor).toBe(2);
    expect(playback.tick(paced, playback.DRAFT_MS).cursor).toBe(3);
    const oneRound = ticks(paced, ROUND_MS / 10);
    expect(oneRound.cursor).toBe(2 + PER_ROUND);
    const slow = playback.tick(playback.openRecording(run(2), "slow"), 0);
    expect(ticks(slow, (playback.SLOW_FACTOR * ROUND_MS) / 10).cursor).toBe(2 + PER_ROUND);
  });

  it.each(["real", "paced", "slow"] as const)("tells how long nothing new is shown: %s", (mode) => {
    let state = playback.tick(playback.openRecording(run(3), mode), 0);
    for (let steps = 0; steps < 300 && state.playing; steps += 1) {
      const waitMs = playback.untilNextMs(state);
      expect(playback.tick(state, waitMs * 0.99).cursor === state.cursor || waitMs === 0).toBe(true);
      const next = playback.tick(state, waitMs);
      expect(next.cursor > state.cursor || waitMs === 100 || !next.playing).toBe(true);
      state = next;
    }
    expect(state.playing).toBe(false);
    expect(playback.untilNextMs(state)).toBe(0);
    expect(playback.untilNextMs(playback.pause(playback.openRecording(run(3), mode)))).toBe(0);
  });
});

describe("a live run", () => {
  const live = (mode: playback.PlaybackMode, rounds: number) =>
    playback.receive(playback.openLive(mode), run(rounds).slice(0, -1));

  it("is shown as it comes in real time", () => {
    const state = playback.tick(live("real", 3), 0);
    expect(state.shown).toBe(state.full);
    expect(state.playing).toBe(true);
  });

  it("stays within a lag of about two rounds when paced", () => {
    // A round arrives every 100 ms, four times faster than the pace.
    let state = playback.openLive("paced");
    const events = run(60);
    let worstLagRounds = 0;
    for (let at = 0; at < 60; at += 1) {
      state = playback.receive(
        state,
        events.slice(1 + at * PER_ROUND - (at === 0 ? 1 : 0), 1 + (at + 1) * PER_ROUND),
      );
      state = ticks(state, 10);
      worstLagRounds = Math.max(worstLagRounds, state.roundEnds.length - playback.roundsShown(state));
    }
    expect(worstLagRounds * 100).toBeLessThanOrEqual(playback.allowedLagMs(state) + 200);
    expect(worstLagRounds).toBeGreaterThan(1);
    state = ticks(playback.receive(state, events.slice(-1)), 800);
    expect(state).toMatchObject({ playing: false, following: false });
    expect(state.shown).toBe(state.full);
  });

  it("keeps its pace in slow motion, and can jump to the newest event", () => {
    const state = ticks(live("slow", 30), 10);
    expect(playback.roundsShown(state)).toBe(0);
    const jumped = playback.goLive(state);
    expect(jumped.shown).toBe(jumped.full);
    expect(jumped.following).toBe(true);
  });

  it("does not save up idle time", () => {
    const waiting = ticks(playback.receive(playback.openLive("paced"), run(1).slice(0, 1)), 500);
    const next = playback.tick(playback.receive(waiting, run(1).slice(1, 9)), 10);
    expect(next.cursor).toBe(2);
  });

  it("does not move when paused while events arrive, and follows again on play", () => {
    const paused = playback.pause(playback.tick(live("real", 1), 0));
    const later = ticks(playback.receive(paused, run(3).slice(9, 17)), 50);
    expect(later.shown).toBe(paused.shown);
    expect(later.full.rounds).toHaveLength(2);
    const resumed = playback.tick(playback.play(later), 10);
    expect(resumed.shown).toBe(resumed.full);
  });
});

describe("seeking and stepping", () => {
  const recorded = playback.openRecording(run(5), "real");

  it("shows exactly the requested rounds, and the end of the run with the last one", () => {
    const third = playback.seekRound(recorded, 3);
    expect(third.shown).toBe(recorded.snapshots.at(2));
    expect(playback.roundsShown(third)).toBe(3);
    expect(playback.seekRound(third, 99).shown.done).not.toBeNull();
    expect(playback.seekRound(third, -1).shown.rounds).toEqual([]);
    expect(playback.seekRound(third, 0).shown.started).not.toBeNull();
  });

  it("goes on playing a finished run and pauses a live one", () => {
    expect(playback.seekRound(recorded, 2).playing).toBe(true);
    const running = playback.tick(playback.receive(playback.openLive("real"), run(5).slice(0, -1)), 0);
    expect(playback.seekRound(running, 2)).toMatchObject({ playing: false, following: false });
    expect(playback.seekRound(running, 5)).toMatchObject({ playing: true, following: true });
  });

  it("steps by token, and back through the same states", () => {
    const stops: number[] = [];
    let state = recorded;
    while (!playback.atEnd(state)) {
      state = playback.stepEvent(state, 1);
      stops.push(state.cursor);
    }
    expect(stops).toHaveLength(5 * (PER_ROUND - 2));
    const back: number[] = [];
    while (state.cursor > playback.startCursor(state)) {
      back.unshift(state.cursor);
      state = playback.stepEvent(state, -1);
    }
    expect(back).toEqual(stops);
  });

  it("steps by round, also from the middle of a round", () => {
    let state = playback.stepRound(recorded, 1);
    expect(playback.roundsShown(state)).toBe(1);
    expect(state.playing).toBe(false);
    state = playback.stepEvent(playback.stepEvent(state, 1), 1);
    expect(playback.roundsShown(playback.stepRound(state, 1))).toBe(2);
    expect(playback.roundsShown(playback.stepRound(state, -1))).toBe(1);
    const ended = playback.seekRound(recorded, 5);
    expect(playback.roundsShown(playback.stepRound(ended, -1))).toBe(4);
    expect(playback.stepRound(playback.seekRound(recorded, 4), 1).shown.done).not.toBeNull();
  });

  it("keeps the objects of finished rounds at every position", () => {
    const second = playback.seekRound(recorded, 2).shown.rounds[0];
    const middle = playback.stepEvent(playback.seekRound(recorded, 3), 1).shown.rounds[0];
    expect(second).toBe(recorded.full.rounds[0]);
    expect(middle).toBe(recorded.full.rounds[0]);
  });
});
