// Figures that need no chart.
import type { MetricValues } from "../protocol/generated";
import type { Fact } from "../words/facts";
import { fixed, milliseconds, percent } from "../words/format";
import { FactList } from "./FactList";

function entries(values: MetricValues | null, done: boolean): Fact[] {
  const kept = values?.kept_mass ?? null;
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
    ...(kept === null
      ? []
      : [
          {
            term: "Kept share of q",
            value: percent(kept),
            help: "The draft model has another vocabulary than the target: q is restricted to what both can say, and renormalised. This is the share of the draft’s own distribution that lay there in the last round; the rest costs acceptance, never exactness.",
          },
        ]),
  ];
}

export function KeyFigures({ values, done }: { values: MetricValues | null; done: boolean }) {
  return <FactList facts={entries(values, done)} className="db-key-figures" />;
}
