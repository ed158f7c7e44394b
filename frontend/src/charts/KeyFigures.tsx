// The figures without a chart.
import type { MetricValues, PromptCacheInfo } from "../protocol/generated";
import type { Fact } from "../words/facts";
import { fixed, milliseconds, percent, whole } from "../words/format";
import { FactList } from "./FactList";

interface Props {
  readonly values: MetricValues | null;
  /** Null for a remote target, and before the first round is over. */
  readonly promptCache: PromptCacheInfo | null;
  readonly done: boolean;
}

function reuse(cache: PromptCacheInfo): Fact {
  const saved =
    cache.saved_ms === null || cache.hit_tokens === 0
      ? ""
      : ` That saved about ${milliseconds(cache.saved_ms)}, by the measured time per token of the last prompt that was computed.`;
  return {
    term: "Prompt cache",
    value: `${whole(cache.hit_tokens)} / ${whole(cache.prompt_tokens)}`,
    help: `Tokens of the prompt that the target had computed in earlier runs, of all its tokens.${saved} The cache holds ${whole(cache.held_tokens)} tokens of earlier prompts.`,
  };
}

function entries({ values, promptCache, done }: Props): Fact[] {
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
    ...(promptCache === null ? [] : [reuse(promptCache)]),
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

export function KeyFigures(props: Props) {
  return <FactList facts={entries(props)} className="db-key-figures" />;
}
