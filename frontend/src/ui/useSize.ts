import { type RefObject, useLayoutEffect, useState } from "react";
import { isMotionReduced } from "../app/throttle";

/** The inner size of an element; null until it is measured. */
export function useSize(ref: RefObject<HTMLElement | null>): { width: number; height: number } | null {
  const [size, setSize] = useState<{ width: number; height: number } | null>(null);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const measure = () => {
      const { clientWidth: width, clientHeight: height } = element;
      setSize((old) => (old?.width === width && old.height === height ? old : { width, height }));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, [ref]);
  return size;
}

export function prefersReducedMotion(): boolean {
  return isMotionReduced() || (window.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false);
}
