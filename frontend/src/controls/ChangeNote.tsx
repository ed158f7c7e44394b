// From which round a change made while running took effect.

import { type AppState, formOf, isRunning } from "../app/state";
import { useApp } from "../app/useStore";
import { changedAtRound, currentSettings } from "../run/selectors";

type Field = "k" | "nodes" | "temperature" | "drafter";

function words(state: AppState, field: Field): string | null {
  if (state.play?.source !== "live") return null;
  const run = state.play.full;
  const current = currentSettings(run);
  // A plain run has depth 0 whatever the form says.
  if (!current || !run.started || run.started.k === 0) return null;
  const form = formOf(state);
  const wanted = field === "drafter" ? form.drafter : form.numbers[field];
  if (wanted === null) return null;
  if (isRunning(state) && wanted !== current[field]) return "takes effect with the next round";
  const round = changedAtRound(run, (at) => (field === "temperature" ? at.sampling.temperature : at[field]));
  return round !== null && wanted === current[field] ? `since round ${round + 1}` : null;
}

export function ChangeNote({ field }: { field: Field }) {
  const text = useApp((state) => words(state, field));
  return text && <p className="mt-1 text-[12px] text-accent">{text}</p>;
}
