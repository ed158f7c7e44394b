import { useEffect, useMemo } from "react";
import { useApp, useStore } from "../../app/useStore";
import type { Run } from "../../run/model";
import { emptyRun, reduceAll } from "../../run/reducer";

/** The whole run of the recording; null until it is loaded, and without one. */
export function useRecordedRun(): Run | null {
  const store = useStore();
  const recording = useApp((state) => state.recording);
  useEffect(() => void store.loadRecording(), [store]);
  return useMemo(() => recording && reduceAll(emptyRun, recording.events), [recording]);
}
