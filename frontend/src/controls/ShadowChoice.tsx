// Shadow drafters: they draft from the same prefix, for comparison with the drafter in use.

import { shadowChoices } from "../app/form";
import { formOf, isRunning } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { SourceBadge } from "../ui/SourceMark";
import { Disclosure } from "./Disclosure";

export function ShadowChoice() {
  const store = useStore();
  const settings = useApp((state) => state.settings);
  const drafter = useApp((state) => formOf(state).drafter);
  const chosen = useApp((state) => state.choices.shadow);
  const running = useApp(isRunning);
  const policy = useApp((state) => formOf(state).policy);
  const offered = shadowChoices(settings, { policy, drafter });
  if (offered.length === 0) return null;
  const inUse = offered.filter(({ name }) => chosen.includes(name)).length;
  const toggle = (name: string, on: boolean) => {
    const others = chosen.filter((other) => other !== name);
    store.choose({ shadow: on ? [...others, name] : others });
  };
  return (
    <Disclosure title={`Shadow drafters${inUse > 0 ? ` (${inUse})` : ""}`}>
      <fieldset disabled={running} className="flex flex-col gap-1.5 text-[13px]">
        <legend className="mb-1.5 text-[12px] text-faint">
          They draft from the same prefix. Their drafts are not used, and not timed in the run.
        </legend>
        {offered.map(({ name, title, help }) => (
          <label key={name} className="flex cursor-pointer items-center gap-2" title={help}>
            <input
              type="checkbox"
              className="accent-(--accent)"
              checked={chosen.includes(name)}
              onChange={(event) => toggle(name, event.target.checked)}
            />
            <SourceBadge source={name} />
            {title}
          </label>
        ))}
      </fieldset>
    </Disclosure>
  );
}
