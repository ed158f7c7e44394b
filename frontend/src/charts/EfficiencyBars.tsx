// What became of the drafted tokens, and where the emitted ones came from.
import type { MetricValues } from "../protocol/generated";
import { HelpTooltip } from "../ui/HelpTooltip";
import { percent } from "../words/format";
import { Figure } from "./Figure";
import { efficiencyOf } from "./series";

const HELP =
  "The upper bar is every drafted token: kept, or spent for nothing. The lower is every emitted token by origin: accepted drafts are the ones speculation got at a discount.";

interface Part {
  readonly name: string;
  readonly count: number;
  readonly colour: string;
  readonly help: string;
}

export function EfficiencyBars({ values }: { values: MetricValues }) {
  const { drafted, accepted, notKept, bonus, resampled, plain, tokens } = efficiencyOf(values);
  const kept = {
    name: "accepted",
    count: accepted,
    colour: "var(--status-accepted)",
    help: "Drafted, tested and kept.",
  };
  const draftParts: Part[] = [
    kept,
    {
      name: "not kept",
      count: notKept,
      colour: "var(--status-rejected)",
      help: "Drafted, then rejected, or discarded untested: behind a rejection, or beside what was accepted.",
    },
  ];
  const emittedParts: Part[] = [
    kept,
    {
      name: "bonus",
      count: bonus,
      colour: "var(--status-bonus)",
      help: "The extra token of a pass in which the whole draft was accepted.",
    },
    {
      name: "resampled",
      count: resampled,
      colour: "var(--status-resampled)",
      help: "Drawn by the target in place of a rejected token.",
    },
    { name: "plain", count: plain, colour: "var(--status-plain)", help: "Decoded without a draft." },
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
