// The plan of the last shown round, where a policy plans each round anew.
import type { Run } from "../run/model";
import { currentSettings } from "../run/selectors";
import { HelpTooltip } from "../ui/HelpTooltip";
import { PlanNote } from "../ui/PlanNote";
import { depthWords, policyHelp } from "../words/policies";

export function PlanPanel({ run }: { run: Run }) {
  const { started, latest } = run;
  const depth = currentSettings(run)?.k;
  const policy = started?.policy;
  if (depth === undefined || (policy !== "auto" && policy !== "adaptive")) return null;
  return (
    <section className="db-plan" aria-label="Plan of the round">
      <header>
        <h3>
          <HelpTooltip help={policyHelp(policy)}>
            {latest ? `Plan of round ${latest.round + 1}` : "Plan of each round"}
          </HelpTooltip>
        </h3>
        <span>{depthWords(policy, depth)}</span>
      </header>
      {latest && <PlanNote metrics={latest} />}
      {latest && !latest.plan && <p>Depth {latest.k}, by what became of the last draft.</p>}
    </section>
  );
}
