// Figures that need no chart.
import type { MetricValues } from "../protocol/generated";
import { fixed, milliseconds } from "../state/format";
import { Explain } from "../viz/Explain";

function entries(values: MetricValues | null, done: boolean) {
  const span = done ? "over the whole run" : `over the last ${values?.window_rounds ?? 50} rounds`;
  return [
    {
      term: "Accept. length τ",
      value: fixed(values?.mean_acceptance_length),
      help: `Mean acceptance length: 1 + accepted tokens per drafting round, ${span}. What one pass of the target yields when something was drafted.`,
    },
    {
      term: "Tokens / round",
      value: fixed(values?.tokens_per_round),
      help: `Emitted tokens over all rounds, with or without a draft, ${span}.`,
    },
    {
      term: "First token",
      value: milliseconds(values?.ttft_ms),
      help: "Time to first token: from the request to the first emitted token, reading the prompt included.",
    },
  ];
}

export function Numbers({ values, done }: { values: MetricValues | null; done: boolean }) {
  return (
    <dl className="db-numbers">
      {entries(values, done).map(({ term, value, help }) => (
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
