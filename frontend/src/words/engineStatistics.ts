// The statistics of another engine in words.
import type { EngineStatistics } from "../protocol/generated";
import { DASH, fixed, percent, whole } from "./format";

export const STATISTICS_HELP =
  "Paste an answer of vLLM, SGLang, llama-server or LM Studio, several of them one a line, or the text of /metrics. Rates are computed from the engine's counts, by the definitions of this page.";

export type Origin = "counted" | "computed" | "reported" | "missing";

export interface StatisticsRow {
  readonly title: string;
  readonly value: string;
  readonly origin: Origin;
}

/** Where a figure comes from, in words. */
export const ORIGINS: Readonly<Record<Origin, string>> = {
  counted: "counted by the engine",
  computed: "computed from its counts",
  reported: "as it reports it",
  missing: "not in this source",
};

function count(title: string, value: number | null): StatisticsRow {
  return { title, value: whole(value), origin: value === null ? "missing" : "counted" };
}

/** A rate of the engine's own stands only where its counts give none. */
function rate(
  title: string,
  computed: number | null,
  reported: number | null,
  words: (value: number) => string,
): StatisticsRow {
  if (computed !== null) return { title, value: words(computed), origin: "computed" };
  if (reported !== null) return { title, value: words(reported), origin: "reported" };
  return { title, value: DASH, origin: "missing" };
}

export function statisticsRows(found: EngineStatistics): StatisticsRow[] {
  return [
    count("Drafts", found.drafts),
    count("Drafted tokens", found.draft_tokens),
    count("Accepted tokens", found.accepted_tokens),
    count("Generated tokens", found.generated),
    rate("Acceptance rate", found.acceptance_rate, found.reported_rate, percent),
    rate("Mean acceptance length", found.mean_acceptance_length, found.reported_length, (value) =>
      fixed(value),
    ),
    rate("Tokens per pass", found.tokens_per_pass, null, (value) => fixed(value)),
  ];
}

/** "vLLM, /metrics (the server since its start)" */
export const sourceWords = ({ source, scope }: EngineStatistics): string => `${source} (${scope})`;

/** What the source cannot show; empty if it shows all. */
export const cannotWords = ({ cannot_show }: EngineStatistics): string =>
  cannot_show.length > 0 ? `It cannot show: ${cannot_show.join("; ")}.` : "";
