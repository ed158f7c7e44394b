// Terms with their values; every term explains itself.
import type { Fact } from "../state/facts";
import { Explain } from "../viz/Explain";

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
