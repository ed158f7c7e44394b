import { type ReactNode, useId } from "react";
import type { DrafterInfo } from "../protocol/generated";
import { formOf } from "../state/store";
import { useApp, useStore } from "../state/useStore";
import { Folded } from "./Folded";

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
          aria-describedby={entry ? `${id}-help` : undefined}
          onChange={(event) => store.choose({ drafter: event.target.value })}
        >
          {drafters.map((drafter) => (
            <option key={drafter.name} value={drafter.name} disabled={!drafter.available}>
              {drafter.title}
            </option>
          ))}
        </select>
      </div>
      {entry && (
        <p id={`${id}-help`} className="mt-1 text-[12px] text-faint">
          {entry.help} <cite className="not-italic">{entry.paper}.</cite>
        </p>
      )}
      {note}
      {missing.length > 0 && <Missing drafters={missing} />}
    </div>
  );
}

/** What a server with other models or files would offer. */
function Missing({ drafters }: { drafters: readonly DrafterInfo[] }) {
  return (
    <Folded title={`${drafters.length} not available with the loaded models`} quiet>
      <dl className="flex flex-col gap-1.5 text-[12px] text-faint">
        {drafters.map(({ name, title, help, paper }) => (
          <div key={name}>
            <dt className="font-medium text-soft">{title}</dt>
            <dd>
              {help} <cite className="not-italic">{paper}.</cite>
            </dd>
          </div>
        ))}
      </dl>
    </Folded>
  );
}
