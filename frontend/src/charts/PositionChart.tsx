// Acceptance by position in the draft.
import { percent } from "../words/format";
import { ChartLegend, Figure } from "./Figure";
import { bandOf, type PositionRate } from "./series";

const HELP =
  "For each position of the draft: the share of the drafting rounds that accepted it (bar), and the share of the rounds that tested it (line). If the bars fall steeply, a shorter draft wastes fewer tokens.";
const LEGEND = [
  {
    name: "of all rounds",
    help: "Rounds that accepted this position / drafting rounds.",
    colour: "var(--text-faint)",
  },
  {
    name: "of those tested",
    help: "Rounds that accepted this position / rounds that tested it.",
    colour: "var(--text)",
    look: "tick",
  },
] as const;

/** 1 → "1st" */
function ordinal(position: number): string {
  return `${position}${["st", "nd", "rd"][position - 1] ?? "th"}`;
}

export function PositionChart({ rates }: { rates: readonly PositionRate[] }) {
  const table = {
    head: ["Position", "Of all rounds", "Of those tested"],
    rows: rates.map((rate) => [`${rate.position}`, percent(rate.rate), percent(rate.conditional)]),
  };
  const labelled = rates.length <= 5;
  return (
    <Figure
      title="Acceptance by position"
      help={HELP}
      aside={rates.length > 0 && <ChartLegend items={LEGEND} />}
      table={table}
      className="is-chart"
    >
      {rates.length > 0 && (
        <ol className="db-position-chart" aria-hidden="true">
          {rates.map(({ position, rate, conditional }) => (
            <li
              key={position}
              title={`position ${position}: ${percent(rate)} of all rounds, ${percent(conditional)} of those tested`}
            >
              <span className="db-column">
                <span className={`db-fill is-${bandOf(rate)}`} style={{ height: `${rate * 100}%` }} />
                {conditional !== null && (
                  <span className="db-tick" style={{ bottom: `${conditional * 100}%` }} />
                )}
              </span>
              <span className="db-position">
                {labelled && <b>{Math.round(rate * 100)} %</b>}
                <span>{labelled ? ordinal(position) : position}</span>
              </span>
            </li>
          ))}
        </ol>
      )}
      {rates.length === 0 && <p className="db-none">No draft has been tested yet.</p>}
    </Figure>
  );
}
