// The drafted tokens by outcome, and the emitted tokens by origin.
import type { MetricValues } from "../protocol/generated";
import { HelpTooltip } from "../ui/HelpTooltip";
import { percent } from "../words/format";
import { Figure } from "./Figure";
import { efficiencyOf } from "./series";

const HELP =
  "The upper bar divides the drafted tokens into accepted and not accepted. The lower bar divides the emitted tokens by origin; accepted drafts are those that speculation emitted without a pass of their own.";

interface Part {
  readonly name: string;
  readonly count: number;
  readonly colour: string;
  readonly help: string;
}

export function EfficiencyBars({ values }: { values: MetricValues }) {
  const { drafted, accepted, notAccepted, bonus, resampled, plain, tokens } = efficiencyOf(values);
  const acceptedPart = {
    name: "accepted",
    count: accepted,
    colour: "var(--status-accepted)",
    help: "Drafted, tested and accepted.",
  };
  const draftParts: Part[] = [
    acceptedPart,
    {
      name: "not accepted",
      count: notAccepted,
      colour: "var(--status-rejected)",
      help: "Drafted, then rejected, or discarded without a test: after a rejected token, or on another branch than the accepted path.",
    },
  ];
  const emittedParts: Part[] = [
    acceptedPart,
    {
      name: "bonus",
      count: bonus,
      colour: "var(--status-bonus)",
      help: "Drawn from p after a fully accepted draft.",
    },
    {
      name: "resampled",
      count: resampled,
      colour: "var(--status-resampled)",
      help: "Drawn from the residual in place of a rejected token.",
    },
    { name: "plain", count: plain, colour: "var(--status-plain)", help: "Emitted without a draft." },
  ];
  return (
    <Figure title="Token efficiency" help={HELP} className="db-efficiency">
      <Split name="drafted" total={drafted} parts={draftParts} />
      <Split name="emitted" total={tokens} parts={emittedParts} />
    </Figure>
  );
}

function Split({ name, total, parts }: { name: string; total: number; parts: readonly Part[] }) {
  const shown = parts.filter((part) => part.count > 0);
  return (
    <div className="db-split">
      <p>
        <b>{total}</b> {name}
      </p>
      <div className="db-bar" aria-hidden="true">
        {shown.map((part) => (
          <span key={part.name} style={{ flexGrow: part.count, background: part.colour }} />
        ))}
      </div>
      <p className="db-counts">
        {shown.map((part) => (
          <HelpTooltip key={part.name} help={`${part.help} ${percent(part.count / total)} of ${name}.`}>
            <span className="db-swatch is-solid" style={{ color: part.colour }} />
            {part.count} {part.name}
          </HelpTooltip>
        ))}
      </p>
    </div>
  );
}
