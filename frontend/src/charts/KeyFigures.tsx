// The figures without a chart.
import type { MetricValues } from "../protocol/generated";
import type { Fact } from "../words/facts";
import { fixed, milliseconds, percent } from "../words/format";
import { FactList } from "./FactList";

function entries(values: MetricValues | null, done: boolean): Fact[] {
  const keptMass = values?.kept_mass ?? null;
  const span = done ? "over the whole run" : `over the last ${values?.window_rounds ?? 50} rounds`;
  return [
    {
      term: "Accept. length τ",
      value: fixed(values?.mean_acceptance_length),
      help: `Mean acceptance length: 1 + accepted tokens per drafting round, ${span}. It is the mean number of tokens that a drafting round emits.`,
    },
    {
      term: "Tokens / round",
      value: fixed(values?.tokens_per_round),
      help: `Emitted tokens / all rounds, with or without a draft, ${span}.`,
    },
    {
      term: "First token",
      value: milliseconds(values?.ttft_ms),
      help: "Time to first token: from the start of the run to its first emitted token, prompt included.",
    },
    ...(keptMass === null
      ? []
      : [
          {
            term: "Kept mass",
            value: percent(keptMass),
            help: "The draft model and the target have different vocabularies, so q is restricted to the tokens of both and renormalised. This is the share of the draft model's distribution on those tokens, in the last round. The rest costs acceptance, never exactness.",
          },
        ]),
  ];
}

export function KeyFigures({ values, done }: { values: MetricValues | null; done: boolean }) {
  return <FactList facts={entries(values, done)} className="db-key-figures" />;
}
