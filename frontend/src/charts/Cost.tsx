// What verification took of a target elsewhere: calls, billed tokens, bytes.
import type { RemoteInfo, UsageInfo } from "../protocol/generated";
import { Explain } from "../ui/Explain";
import { costFacts } from "../words/remote";
import { FactList } from "./FactList";

const HELP =
  "What the verification of this run took of the target so far, as far as it is known. Measuring the baselines is not in it.";

interface Props {
  readonly usage: UsageInfo;
  readonly rounds: number;
  readonly remote: RemoteInfo | null;
}

export function Cost({ usage, rounds, remote }: Props) {
  return (
    <section className="db-cost" aria-label="Cost at the target">
      <h3>
        <Explain help={HELP}>Cost at the target</Explain>
      </h3>
      <FactList facts={costFacts(usage, rounds, remote)} />
    </section>
  );
}
