import { type ReactNode, useId } from "react";
import { formOf } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { DrafterListbox } from "./DrafterListbox";

export function DrafterSelect({ note }: { note: ReactNode }) {
  const store = useStore();
  const drafters = useApp((state) => state.settings?.drafters ?? null);
  const chosen = useApp((state) => formOf(state).drafter);
  const id = useId();
  if (!drafters) return null;
  const entry = drafters.find((drafter) => drafter.name === chosen);
  return (
    <div className="text-[13px]">
      <div className="flex items-center justify-between gap-3">
        <label htmlFor={id} className="text-soft">
          Drafter
        </label>
        <DrafterListbox
          id={id}
          drafters={drafters}
          chosen={chosen}
          describedBy={entry && `${id}-help`}
          onChoose={(drafter) => store.choose({ drafter })}
        />
      </div>
      {entry && (
        <p id={`${id}-help`} className="mt-1 text-[12px] text-faint">
          {entry.help} <cite className="not-italic">{entry.paper}.</cite>
        </p>
      )}
      {note}
    </div>
  );
}
