// Terms with their values; every term explains itself.

import { Explain } from "../ui/Explain";
import type { Fact } from "../words/facts";

export function FactList({ facts, className }: { facts: readonly Fact[]; className?: string }) {
  return (
    <dl className={className}>
      {facts.map(({ term, value, help }) => (
        <div key={term}>
          <dt>
            <Explain help={help}>{term}</Explain>
          </dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
