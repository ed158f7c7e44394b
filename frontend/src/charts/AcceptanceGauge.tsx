// The acceptance rate as a gauge, with its course over the run.
import { scaleLinear } from "d3-scale";
import { arc, line } from "d3-shape";
import { HelpTooltip } from "../ui/HelpTooltip";
import { DASH } from "../words/format";
import { type AcceptancePoint, bandOf } from "./series";

const HELP =
  "Accepted / drafted tokens in the last 50 rounds, or in the whole run after its end. Only one path of a draft tree can be accepted, so trees have a low rate; compare the acceptance length instead. Red below 50 %, yellow below 75 %, green from there on. The line shows the rate after each round.";
const START = -0.72 * Math.PI;
const END = 0.72 * Math.PI;
const OUTER = 40;
const INNER = 33;

const angle = scaleLinear([0, 1], [START, END]);
const ring = (from: number, to: number) =>
  arc()({ innerRadius: INNER, outerRadius: OUTER, startAngle: angle(from), endAngle: angle(to) }) ?? "";

export function AcceptanceGauge({
  rate,
  history,
}: {
  rate: number | null;
  history: readonly AcceptancePoint[];
}) {
  const colour = rate === null ? "var(--text-faint)" : `var(--gauge-${bandOf(rate)})`;
  const text = rate === null ? DASH : `${Math.round(rate * 100)} %`;
  return (
    <section className="db-acceptance-gauge" aria-label="Acceptance rate">
      <h3>
        <HelpTooltip help={HELP}>Acceptance</HelpTooltip>
      </h3>
      <svg
        viewBox="-42 -42 84 72"
        role="img"
        aria-label={`Acceptance rate ${rate === null ? "unknown" : text}`}
      >
        <path d={ring(0, 1)} fill="var(--line)" />
        {rate !== null && <path className="db-arc" d={ring(0, Math.max(rate, 0.004))} fill={colour} />}
        {[0.5, 0.75].map((limit) => (
          <path key={limit} d={ring(limit - 0.004, limit + 0.004)} fill="var(--surface)" />
        ))}
        <text className="db-acceptance-gauge-value" y={6}>
          {text}
        </text>
      </svg>
      <Sparkline history={history} colour={colour} />
    </section>
  );
}

function Sparkline({ history, colour }: { history: readonly AcceptancePoint[]; colour: string }) {
  const known = history.flatMap(({ round, rate }) => (rate === null ? [] : [{ round, rate }]));
  const first = known[0];
  const last = known.at(-1);
  if (!first || !last || known.length < 2) return <div className="db-spark" />;
  const x = scaleLinear([first.round, last.round], [0, 100]);
  const y = scaleLinear([0, 1], [22, 2]);
  const path = line<{ round: number; rate: number }>(
    (point) => x(point.round),
    (point) => y(point.rate),
  )(known);
  const summary = `From ${Math.round(first.rate * 100)} % after round ${first.round} to ${Math.round(last.rate * 100)} % after round ${last.round}`;
  return (
    <svg className="db-spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label={summary}>
      {[0.5, 0.75].map((limit) => (
        <path key={limit} className="db-spark-limit" d={`M0,${y(limit)}H100`} />
      ))}
      <path className="db-spark-line" d={path ?? ""} stroke={colour} />
    </svg>
  );
}
