import { useSyncExternalStore } from "react";

const query = () => window.matchMedia("(min-width: 800px)");

function subscribe(changed: () => void): () => void {
  const list = query();
  list.addEventListener("change", changed);
  return () => list.removeEventListener("change", changed);
}

/** Whether the window is wide enough for more than one column. */
export const useWide = (): boolean => useSyncExternalStore(subscribe, () => query().matches);
