import { type ReactNode, useId } from "react";
import { formOf, isRunning } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { AUTO, autoEntry } from "./autoEntry";
import { DrafterListbox } from "./DrafterListbox";

export function DrafterSelect({ note }: { note: ReactNode }) {
  const store = useStore();
  const settings = useApp((state) => state.settings);
  const chosen = useApp((state) => formOf(state).drafter);
  const choosesItself = useApp((state) => formOf(state).policy === "auto");
  const running = useApp(isRunning);
  const id = useId();
  if (!settings) return null;
  const { drafters } = settings;
  const entries = choosesItself ? [autoEntry(settings, running && chosen !== null), ...drafters] : drafters;
  const name = choosesItself ? (chosen ?? AUTO) : chosen;
  const entry = entries.find((drafter) => drafter.name === name);
  const choose = (drafter: string) => {
    if (!choosesItself) store.choose({ drafter });
    else store.choose({ onlyDrafter: drafter === AUTO ? null : drafter });
  };
  return (
    <div className="text-[13px]">
      <div className="flex items-center justify-between gap-3">
        <label htmlFor={id} className="text-soft">
          Drafter
        </label>
        <DrafterListbox
          id={id}
          drafters={entries}
          chosen={name}
          describedBy={entry && `${id}-help`}
          onChoose={choose}
        />
      </div>
      {entry && (
        <p id={`${id}-help`} className="mt-1 text-[12px] text-faint">
          {entry.help} {entry.paper && <cite className="not-italic">{entry.paper}.</cite>}
        </p>
      )}
      {note}
    </div>
  );
}
