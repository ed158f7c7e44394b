// The rule that verifies drafts. It cannot change during a run. A lossy rule is marked.
import { TriangleAlert } from "lucide-react";
import { useId } from "react";
import { formOf, isRunning } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import type { RuleInfo } from "../protocol/generated";
import type { RuleName } from "../run/model";

export function RuleSelect() {
  const store = useStore();
  const rules = useApp((state) => state.settings?.rules ?? null);
  const chosen = useApp((state) => formOf(state).rule);
  const running = useApp(isRunning);
  const id = useId();
  if (!rules || rules.length === 0) return null;
  const entry = rules.find(({ name }) => name === chosen);
  return (
    <div className="text-[13px]">
      <div className="flex items-center justify-between gap-3">
        <label
          htmlFor={id}
          className="text-soft"
          title={running ? "The rule cannot change during a run" : undefined}
        >
          Rule
        </label>
        <select
          id={id}
          className="select-box"
          value={chosen ?? ""}
          disabled={running}
          aria-describedby={entry ? `${id}-help` : undefined}
          onChange={(event) => store.choose({ rule: event.target.value as RuleName })}
        >
          {rules.map(({ name, title, label }) => (
            <option key={name} value={name}>
              {title}
              {label === "exact" ? "" : ` (${label})`}
            </option>
          ))}
        </select>
      </div>
      {entry && <Help id={`${id}-help`} rule={entry} />}
    </div>
  );
}

function Help({ id, rule }: { id: string; rule: RuleInfo }) {
  const isLossy = rule.label === "lossy";
  return (
    <p id={id} className="mt-1 text-[12px] text-faint">
      {isLossy && (
        <span data-status="resampled" className="lossy">
          <TriangleAlert size={12} aria-hidden /> lossy
        </span>
      )}
      {rule.help}
      {!rule.trees && " It verifies chains only."}
    </p>
  );
}
