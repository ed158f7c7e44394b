// The time of a mean round in plain passes, by part, with the line at which it breaks even: the tokens of a round.
import type { TimePart } from "../run/times";
import type { Verdict } from "../run/verdict";
import { FigureMenu } from "../ui/FigureMenu";
import { HelpTooltip } from "../ui/HelpTooltip";
import { fixed } from "../words/format";

const HELP =
  "The time of a mean round, in passes of plain decoding. One plain pass emits one token, so a round gains if its time ends before the line at its number of tokens.";

const COLOURS: Readonly<Record<TimePart, string>> = {
  draft: "var(--time-draft)",
  verify: "var(--time-verify)",
  network: "var(--time-network)",
  evidence: "var(--time-other)",
  other: "var(--time-other)",
};

/** Parts below this share of the round are added to `other`. */
const SMALLEST_SHARE = 0.03;

interface Part {
  readonly name: string;
  readonly passes: number;
  readonly colour: string;
}

/** Draft, verify, network if it is noticeable, and the rest. */
export function costParts({ parts, passes }: Verdict): Part[] {
  const named = (part: TimePart, share: number) =>
    part === "draft" || part === "verify" || (part === "network" && share >= SMALLEST_SHARE);
  const shown = parts.filter(({ part, passes: own }) => named(part, own / passes));
  const rest = passes - shown.reduce((total, { passes: own }) => total + own, 0);
  return [
    ...shown.map(({ part, passes: own }) => ({ name: part, passes: own, colour: COLOURS[part] })),
    { name: "other", passes: Math.max(0, rest), colour: COLOURS.other },
  ];
}

export function CostBar({ verdict }: { verdict: Verdict }) {
  const parts = costParts(verdict);
  const longest = Math.max(verdict.passes, verdict.tokens) * 1.04;
  const percentOf = (passes: number) => `${(100 * passes) / longest}%`;
  const spoken = parts.map(({ name, passes }) => `${name} ${fixed(passes)}`).join(", ");
  return (
    <div className="cost">
      <div
        className="cost-track"
        role="img"
        aria-label={`A round takes ${fixed(verdict.passes)} plain passes: ${spoken}. It breaks even at ${fixed(verdict.tokens)}.`}
      >
        {parts.map(({ name, passes, colour }) => (
          <span key={name} style={{ width: percentOf(passes), background: colour }} />
        ))}
        <i style={{ left: percentOf(verdict.tokens) }} />
      </div>
      <p className="cost-key">
        {parts.map(({ name, passes, colour }) => (
          <span key={name}>
            <span className="db-swatch" style={{ color: colour }} /> {name} {fixed(passes, 1)}
          </span>
        ))}
        <HelpTooltip help={HELP} className="cost-even">
          <i aria-hidden /> break-even {fixed(verdict.tokens, 1)}
        </HelpTooltip>
        <FigureMenu title="Speedup" />
      </p>
    </div>
  );
}
