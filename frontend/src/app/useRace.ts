import { createContext, useContext, useSyncExternalStore } from "react";
import type { RaceState, RaceStore } from "./race";

export const RaceContext = createContext<RaceStore | null>(null);

/** The store of a sweep, which is a race of plain decoding and every depth. */
export const SweepContext = createContext<RaceStore | null>(null);

export function useSweepStore(): RaceStore {
  const store = useContext(SweepContext);
  if (!store) throw new Error("A view was rendered outside the context of the sweep.");
  return store;
}

export function useSweep<T>(selector: (state: RaceState) => T): T {
  const store = useSweepStore();
  return useSyncExternalStore(store.subscribe, () => selector(store.get()));
}

export function useRaceStore(): RaceStore {
  const store = useContext(RaceContext);
  if (!store) throw new Error("A view was rendered outside the context of the race.");
  return store;
}

/** The selector must return the same reference while nothing it reads has changed. */
export function useRace<T>(selector: (state: RaceState) => T): T {
  const store = useRaceStore();
  return useSyncExternalStore(store.subscribe, () => selector(store.get()));
}
