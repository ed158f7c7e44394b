// What verification took of a target elsewhere: calls, billed tokens, bytes.
import type { RemoteInfo, UsageInfo } from "../protocol/generated";
import { HelpTooltip } from "../ui/HelpTooltip";
import { usageFacts } from "../words/remote";
import { FactList } from "./FactList";

const HELP =
  "What the verification of this run took of the target so far, as far as it is known. Measuring the baselines is not in it.";

interface Props {
  readonly usage: UsageInfo;
  readonly rounds: number;
  readonly remote: RemoteInfo | null;
}

export function UsagePanel({ usage, rounds, remote }: Props) {
  return (
    <section className="db-usage" aria-label="Cost at the target">
      <h3>
        <HelpTooltip help={HELP}>Cost at the target</HelpTooltip>
      </h3>
      <FactList facts={usageFacts(usage, rounds, remote)} />
    </section>
  );
}
