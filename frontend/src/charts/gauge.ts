// What the gauge shows: the acceptance rate of a chain, or the depth that a tree reaches.
import type { Metrics, MetricValues } from "../protocol/generated";
import type { Run } from "../run/model";
import { currentSettings } from "../run/selectors";
import { DASH, fixed } from "../words/format";
import { type AcceptancePoint, acceptanceHistory, bandOf } from "./series";

export interface Gauge {
  readonly title: string;
  /** The title in full. */
  readonly name: string;
  readonly help: string;
  /** 0 to 1; null before the first draft. */
  readonly share: number | null;
  readonly value: string;
  /** A CSS colour. A depth is neither good nor bad by itself. */
  readonly colour: string;
  readonly limits: readonly number[];
  readonly history: readonly AcceptancePoint[];
}

const RATE_HELP =
  "Accepted / drafted tokens in the last 50 rounds, or in the whole run after its end. Red below 50 %, yellow below 75 %, green from there on. Whether it pays is in the verdict at the top. The line shows the rate after each round.";
const DEPTH_HELP =
  "Accepted tokens per drafting round, of the depth of the tree. Only one path of a tree can be accepted, so the share of its tokens that are accepted is low by nature. The line shows the depth after each round.";

export function gaugeOf(run: Run, values: MetricValues | null): Gauge {
  const settings = currentSettings(run);
  if (settings && settings.nodes > settings.k && settings.k > 0) return depthGauge(run, values, settings.k);
  const share = values?.acceptance_rate ?? null;
  return {
    title: "Acceptance",
    name: "Acceptance rate",
    help: RATE_HELP,
    share,
    value: share === null ? DASH : `${Math.round(share * 100)} %`,
    colour: share === null ? "var(--text-faint)" : `var(--gauge-${bandOf(share)})`,
    limits: [0.5, 0.75],
    history: acceptanceHistory(run),
  };
}

/** `depth`: the largest number of tokens that one path of the tree can have. */
function depthGauge(run: Run, values: MetricValues | null, depth: number): Gauge {
  const reached = (length: number | null | undefined) => (length == null ? null : Math.max(0, length - 1));
  const tokens = reached(values?.mean_acceptance_length);
  const pointOf = (metrics: Metrics) => {
    const at = reached(metrics.mean_acceptance_length);
    return { round: metrics.round + 1, rate: at === null ? null : Math.min(1, at / depth) };
  };
  return {
    title: "Depth reached",
    name: "Depth reached",
    help: DEPTH_HELP,
    share: tokens === null ? null : Math.min(1, tokens / depth),
    value: tokens === null ? DASH : `${fixed(tokens, 1)} of ${depth}`,
    colour: "var(--text-soft)",
    limits: [],
    history: run.rounds.flatMap(({ metrics }) => (metrics ? [pointOf(metrics)] : [])),
  };
}
