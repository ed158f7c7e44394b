import { describe, expect, it } from "vitest";
import { throttledFrames } from "./throttle";

/** Frames every 16 ms, later when what was drawn took long; time passes only here. */
class FakeTimers {
  nowMs = 0;
  private frames: ((nowMs: number) => void)[] = [];
  private timers: { atMs: number; callback: () => void }[] = [];

  now = () => this.nowMs;
  nextFrame = (callback: (nowMs: number) => void) => void this.frames.push(callback);
  later = (callback: () => void, delayMs: number) =>
    void this.timers.push({ atMs: this.nowMs + delayMs, callback });

  advance(totalMs: number): void {
    const endMs = this.nowMs + totalMs;
    while (this.nowMs < endMs) {
      this.nowMs += 16;
      const frames = this.frames.splice(0);
      for (const frame of frames) frame(this.nowMs);
      const due = this.timers.filter((timer) => timer.atMs <= this.nowMs);
      this.timers = this.timers.filter((timer) => timer.atMs > this.nowMs);
      for (const timer of due) timer.callback();
    }
  }
}

function framesIn(totalMs: number, costMs: number): { count: number; spaced: boolean } {
  const timers = new FakeTimers();
  let count = 0;
  let spaced = false;
  const nextFrame = throttledFrames(timers, (held) => {
    spaced = held;
  });
  const draw = () => {
    count += 1;
    timers.nowMs += costMs;
    nextFrame(draw);
  };
  nextFrame(draw);
  timers.advance(totalMs);
  return { count, spaced };
}

describe("frames beside a model", () => {
  it("come as fast as the screen while they are cheap", () => {
    const { count, spaced } = framesIn(1000, 1);
    expect(count).toBeGreaterThan(25);
    expect(spaced).toBe(false);
  });

  it("keep their distance when they are dear", () => {
    const { count, spaced } = framesIn(4000, 40);
    expect(count * 40).toBeLessThan(4000 * 0.12);
    expect(count).toBeGreaterThan(4);
    expect(spaced).toBe(true);
  });

  it("never wait longer than 400 ms for the next", () => {
    expect(framesIn(6000, 1000).count).toBeGreaterThanOrEqual(4);
  });
});
