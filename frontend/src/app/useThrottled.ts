import { useEffect, useRef, useState } from "react";
import { isMotionReduced } from "./throttle";

const REDUCED_GAP_MS = 1000;

/** The current value; while frames are throttled, updated about once a second. The last value always arrives. */
export function useThrottled<T>(value: T, urgent: boolean): T {
  const [shown, setShown] = useState(value);
  const shownAtMs = useRef(0);
  useEffect(() => {
    const show = () => {
      shownAtMs.current = performance.now();
      setShown(() => value);
    };
    const waitMs = isMotionReduced() && !urgent ? shownAtMs.current + REDUCED_GAP_MS - performance.now() : 0;
    if (waitMs <= 0) return show();
    const timer = setTimeout(show, waitMs);
    return () => clearTimeout(timer);
  }, [value, urgent]);
  return shown;
}
