import { createContext, useContext, useSyncExternalStore } from "react";
import type { TrafficState, TrafficStore } from "./traffic";

export const TrafficContext = createContext<TrafficStore | null>(null);

export function useTrafficStore(): TrafficStore {
  const store = useContext(TrafficContext);
  if (!store) throw new Error("A view was rendered outside the context of the traffic.");
  return store;
}

export function useTraffic(): TrafficState {
  const store = useTrafficStore();
  return useSyncExternalStore(store.subscribe, store.get);
}
