// What the shown round ran with. The settings at the left are those of the next run.
import { useMemo } from "react";
import { useApp } from "../../app/useStore";
import { emptyRun } from "../../run/reducer";
import { endWords } from "../../words/ends";
import { runSettings } from "../../words/settings";
import "./run-strip.css";

export function RunStrip() {
  const started = useApp((state) => state.play?.shown.started ?? null);
  const updates = useApp((state) => state.play?.shown.updates ?? emptyRun.updates);
  const end = useApp((state) => (state.play ? endWords(state.play.shown) : null));
  const settings = useMemo(() => runSettings({ started, updates }), [started, updates]);
  return (
    <section aria-label="Settings of the shown run" className="run-strip">
      {settings.length === 0 && <p>No run yet.</p>}
      <dl>
        {settings.map(({ name, value, change }) => (
          <div key={name} data-changed={change !== null || undefined}>
            <dt>{name}</dt>
            <dd>{value}</dd>
            {change !== null && <dd className="run-strip-change">{change}</dd>}
          </div>
        ))}
      </dl>
      {end !== null && <p data-end={end}>{end}</p>}
    </section>
  );
}
