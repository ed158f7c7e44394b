// The places of a graph's tokens as they move; at once where less motion is wanted.
import { useCallback, useEffect, useRef, useState } from "react";
import { prefersReducedMotion } from "../ui/useSize";
import { Forces, type Place } from "./forces";
import type { Graph } from "./graph";

type Places = ReadonlyMap<string, Place>;

/** `hold`: a token at a place, or null to let go of it. */
export function useForces(
  graph: Graph,
  width: number,
  height: number,
): { places: Places; hold(key: string, place: Place | null): void } {
  const [places, setPlaces] = useState<Places>(new Map());
  const latest = useRef<Places>(places);
  const forces = useRef<Forces | null>(null);
  const frame = useRef(0);
  const show = useCallback((from: Forces) => {
    latest.current = from.places();
    setPlaces(latest.current);
  }, []);
  const run = useCallback(() => {
    cancelAnimationFrame(frame.current);
    const current = forces.current;
    if (!current) return;
    if (prefersReducedMotion()) {
      current.settle();
      return show(current);
    }
    const step = () => {
      const moves = current.step();
      show(current);
      if (moves) frame.current = requestAnimationFrame(step);
    };
    step();
  }, [show]);
  useEffect(() => {
    forces.current = new Forces(graph, { width, height }, latest.current);
    run();
    return () => cancelAnimationFrame(frame.current);
  }, [graph, width, height, run]);
  const hold = useCallback(
    (key: string, place: Place | null) => {
      forces.current?.hold(key, place);
      run();
    },
    [run],
  );
  return { places, hold };
}
