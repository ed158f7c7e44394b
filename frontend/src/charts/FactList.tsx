// Terms with their values. Every term has an explanation.

import { HelpTooltip } from "../ui/HelpTooltip";
import type { Fact } from "../words/facts";

export function FactList({ facts, className }: { facts: readonly Fact[]; className?: string }) {
  return (
    <dl className={className}>
      {facts.map(({ term, value, help }) => (
        <div key={term}>
          <dt>
            <HelpTooltip help={help}>{term}</HelpTooltip>
          </dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
