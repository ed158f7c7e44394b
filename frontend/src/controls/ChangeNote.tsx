// The round from which on a change during the run applies.

import { type AppState, formOf, isRunning } from "../app/state";
import { useApp } from "../app/useStore";
import { changedAtRound, currentSettings } from "../run/selectors";

type Field = "k" | "nodes" | "temperature" | "drafter";

function noteText(state: AppState, field: Field): string | null {
  if (state.play?.source !== "live") return null;
  const run = state.play.full;
  const current = currentSettings(run);
  // A plain run has depth 0, whatever the form contains.
  if (!current || !run.started || run.started.k === 0) return null;
  const form = formOf(state);
  if (run.started.policy !== form.policy) return null;
  const chosen = field === "drafter" ? form.drafter : field === "k" ? form.depth : form.numbers[field];
  if (chosen === null) return null;
  if (isRunning(state) && chosen !== current[field]) return "applies from the next round on";
  const round = changedAtRound(run, (at) => (field === "temperature" ? at.sampling.temperature : at[field]));
  return round !== null && chosen === current[field] ? `since round ${round + 1}` : null;
}

export function ChangeNote({ field }: { field: Field }) {
  const text = useApp((state) => noteText(state, field));
  return text && <p className="mt-1 text-[12px] text-accent">{text}</p>;
}
