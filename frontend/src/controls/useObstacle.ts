import { isReady } from "../app/state";
import { useApp } from "../app/useStore";

/** The reason why no run can start now; null if one can. */
export function useObstacle(): string | null {
  return useApp((state) => {
    if (state.connection !== "connected") return "Waiting for the server. Your prompt is kept.";
    if (state.health?.status === "failed") return "The models could not be loaded.";
    if (!isReady(state)) return "The models are loading. You can write your prompt already.";
    return null;
  });
}
