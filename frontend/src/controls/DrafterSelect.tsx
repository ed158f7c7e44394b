import { type ReactNode, useId } from "react";
import { formOf } from "../state/store";
import { useApp, useStore } from "../state/useStore";

export function DrafterSelect({ note }: { note: ReactNode }) {
  const store = useStore();
  const drafters = useApp((state) => state.settings?.drafters ?? null);
  const chosen = useApp((state) => formOf(state).drafter);
  const id = useId();
  if (!drafters) return null;
  const entry = drafters.find((drafter) => drafter.name === chosen);
  const loaded = drafters.some((drafter) => drafter.available);
  const missing = loaded ? drafters.filter((drafter) => !drafter.available) : [];
  return (
    <div className="text-[13px]">
      <div className="flex items-center justify-between gap-3">
        <label htmlFor={id} className="text-soft">
          Drafter
        </label>
        <select
          id={id}
          className="select-box"
          disabled={!loaded}
          value={chosen ?? ""}
          onChange={(event) => store.choose({ drafter: event.target.value })}
        >
          {drafters.map((drafter) => (
            <option key={drafter.name} value={drafter.name} disabled={!drafter.available}>
              {drafter.title}
            </option>
          ))}
        </select>
      </div>
      {entry && <p className="mt-1 text-[12px] text-faint">{entry.help}</p>}
      {missing.map((drafter) => (
        <p key={drafter.name} className="mt-1 text-[12px] text-faint">
          {drafter.title} is not available with the loaded models.
        </p>
      ))}
      {note}
    </div>
  );
}
