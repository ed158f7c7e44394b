// A page beside a model shares its cores: time spent drawing is time the model does not decode.

/** Share of the time that drawing a live run may take of the page's thread; rastering takes as much again. */
const DRAWING_SHARE = 0.06;
/** A frame this cheap needs no spacing. */
const CHEAP_MS = 8;
const LONGEST_GAP_MS = 400;

/** Whether drawing is dear here and a live run goes on: nothing should move for its own sake. */
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
 * Animation frames that keep a distance in proportion to what the last one cost: scripts, style, layout and paint,
 * up to the first task behind them. `onSpacing` is told whether frames are being held back.
 */
export function throttledFrames(
  timers: Timers,
  onSpacing: (spaced: boolean) => void = () => {},
): (callback: (nowMs: number) => void) => void {
  let notBeforeMs = 0;
  let measuring = false;
  let next: ((nowMs: number) => void) | null = null;

  const draw = (callback: (nowMs: number) => void) => {
    measuring = true;
    timers.nextFrame((nowMs) => {
      const begunMs = timers.now();
      callback(nowMs);
      timers.later(() => measured(timers.now() - begunMs), 0);
    });
  };
  const measured = (costMs: number) => {
    const gapMs = costMs > CHEAP_MS ? Math.min(LONGEST_GAP_MS, costMs / DRAWING_SHARE) : 0;
    notBeforeMs = timers.now() + gapMs;
    measuring = false;
    onSpacing(gapMs > 0);
    const waiting = next;
    next = null;
    if (waiting) ask(waiting);
  };
  const ask = (callback: (nowMs: number) => void) => {
    const waitMs = notBeforeMs - timers.now();
    if (measuring) next = callback;
    else if (waitMs > 0) timers.later(() => draw(callback), waitMs);
    else draw(callback);
  };
  return ask;
}
