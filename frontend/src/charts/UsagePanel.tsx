// The usage of a remote target: calls, billed tokens, bytes.
import type { MetricValues, RemoteInfo, UsageInfo } from "../protocol/generated";
import { HelpTooltip } from "../ui/HelpTooltip";
import { placementWords, usageFacts } from "../words/remote";
import { FactList } from "./FactList";

const HELP =
  "What the rounds of this run used so far, as far as it is known. The runs that measured the baselines are not included.";

interface Props {
  readonly usage: UsageInfo;
  readonly rounds: number;
  /** The means of the run's times. */
  readonly times: MetricValues;
  readonly remote: RemoteInfo | null;
}

export function UsagePanel({ usage, rounds, times, remote }: Props) {
  const placement = placementWords(times);
  return (
    <section className="db-usage" aria-label="Usage of the target">
      <h3>
        <HelpTooltip help={HELP}>Usage of the target</HelpTooltip>
      </h3>
      <FactList facts={usageFacts(usage, rounds, remote)} />
      {placement && <p className="db-usage-note">{placement}</p>}
    </section>
  );
}
