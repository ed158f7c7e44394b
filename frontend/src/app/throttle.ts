// Throttled animation frames. The page shares the processor with the model, so drawing slows down decoding.

/** The share of time that long frames of a live run may take on the page's thread; rasterising takes as much again. */
const DRAWING_SHARE = 0.06;
/** Frames up to this duration are not throttled. */
const UNTHROTTLED_MS = 8;
const LONGEST_GAP_MS = 400;

/** Whether frames of a live run are throttled, so that animations are switched off. */
export const isMotionReduced = (): boolean => document.documentElement.dataset.motion === "reduced";

export function setMotionReduced(reduced: boolean): void {
  document.documentElement.dataset.motion = reduced ? "reduced" : "full";
}

export interface Timers {
  now(): number;
  nextFrame(callback: (nowMs: number) => void): void;
  later(callback: () => void, delayMs: number): void;
}

/**
 * Returns a function that requests animation frames. After each frame it waits in proportion to the frame's duration:
 * scripts, style, layout and paint, up to the next task. `onThrottle` receives whether frames are delayed.
 */
export function throttledFrames(
  timers: Timers,
  onThrottle: (throttled: boolean) => void = () => {},
): (callback: (nowMs: number) => void) => void {
  let notBeforeMs = 0;
  let measuring = false;
  let next: ((nowMs: number) => void) | null = null;

  const draw = (callback: (nowMs: number) => void) => {
    measuring = true;
    timers.nextFrame((nowMs) => {
      const startMs = timers.now();
      callback(nowMs);
      timers.later(() => measured(timers.now() - startMs), 0);
    });
  };
  const measured = (costMs: number) => {
    // The gap begins at 0, so that a frame just above the limit does not delay the next one by many.
    const gapMs = Math.min(LONGEST_GAP_MS, Math.max(0, costMs - UNTHROTTLED_MS) / DRAWING_SHARE);
    notBeforeMs = timers.now() + gapMs;
    measuring = false;
    onThrottle(gapMs > 0);
    const waiting = next;
    next = null;
    if (waiting) request(waiting);
  };
  const request = (callback: (nowMs: number) => void) => {
    const waitMs = notBeforeMs - timers.now();
    if (measuring) next = callback;
    else if (waitMs > 0) timers.later(() => draw(callback), waitMs);
    else draw(callback);
  };
  return request;
}
