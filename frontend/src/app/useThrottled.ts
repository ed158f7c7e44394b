import { useEffect, useRef, useState } from "react";
import { isMotionReduced } from "./throttle";

const REDUCED_GAP_MS = 1000;
/** Nobody reads figures that change more often. */
const LEAST_GAP_MS = 100;

/**
 * The current value, updated at most ten times a second, and about once a second while frames are throttled. The last
 * value always arrives, and an urgent one at once.
 */
export function useThrottled<T>(value: T, urgent: boolean): T {
  const [shown, setShown] = useState(value);
  const shownAtMs = useRef(0);
  useEffect(() => {
    const show = () => {
      shownAtMs.current = performance.now();
      setShown(() => value);
    };
    const gapMs = isMotionReduced() ? REDUCED_GAP_MS : LEAST_GAP_MS;
    const waitMs = urgent ? 0 : shownAtMs.current + gapMs - performance.now();
    if (waitMs <= 0) return show();
    const timer = setTimeout(show, waitMs);
    return () => clearTimeout(timer);
  }, [value, urgent]);
  return shown;
}
