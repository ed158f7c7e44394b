import { createContext, useContext, useSyncExternalStore } from "react";
import type { AppState } from "./state";
import type { Store } from "./store";

export const StoreContext = createContext<Store | null>(null);

export function useStore(): Store {
  const store = useContext(StoreContext);
  if (!store) throw new Error("A view was rendered outside the store's context.");
  return store;
}

/** The selector must return the same reference while nothing it reads has changed. */
export function useApp<T>(selector: (state: AppState) => T): T {
  const store = useStore();
  return useSyncExternalStore(store.subscribe, () => selector(store.get()));
}
