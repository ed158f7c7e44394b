import { describe, expect, it } from "vitest";
import { throttledFrames } from "./throttle";

/** A frame every 16 ms, or later after a long one. Time passes only in `advance`. */
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

function framesIn(totalMs: number, durationMs: number): { count: number; throttled: boolean } {
  const timers = new FakeTimers();
  let count = 0;
  let throttled = false;
  const nextFrame = throttledFrames(timers, (isThrottled) => {
    throttled = isThrottled;
  });
  const draw = () => {
    count += 1;
    timers.nowMs += durationMs;
    nextFrame(draw);
  };
  nextFrame(draw);
  timers.advance(totalMs);
  return { count, throttled };
}

describe("throttled frames", () => {
  it("come at the screen's rate while they are short", () => {
    const { count, throttled } = framesIn(1000, 1);
    expect(count).toBeGreaterThan(25);
    expect(throttled).toBe(false);
  });

  it("take their share of the time when they are long", () => {
    const { count, throttled } = framesIn(4000, 40);
    expect(count * 40).toBeLessThan(4000 * 0.12);
    expect(count).toBeGreaterThan(4);
    expect(throttled).toBe(true);
  });

  it("never wait longer than 400 ms for the next", () => {
    expect(framesIn(6000, 1000).count).toBeGreaterThanOrEqual(4);
  });
});
