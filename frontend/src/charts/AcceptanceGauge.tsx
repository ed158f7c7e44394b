// The acceptance rate of a chain, or the depth that a tree reaches, as a gauge, with its course over the run.
import { scaleLinear } from "d3-scale";
import { arc, line } from "d3-shape";
import { FigureMenu } from "../ui/FigureMenu";
import { HelpTooltip } from "../ui/HelpTooltip";
import type { Gauge } from "./gauge";
import { thinned } from "./thin";

const START = -0.72 * Math.PI;
const END = 0.72 * Math.PI;
const OUTER = 40;
const INNER = 33;
/** The line of the course is narrow. */
const SPARK_POINTS = 120;

const angle = scaleLinear([0, 1], [START, END]);
const ring = (from: number, to: number) =>
  arc()({ innerRadius: INNER, outerRadius: OUTER, startAngle: angle(from), endAngle: angle(to) }) ?? "";

export function AcceptanceGauge({ gauge }: { gauge: Gauge }) {
  const { title, name, help, share, value, colour, limits } = gauge;
  return (
    <section className="db-acceptance-gauge" aria-label={name} data-figure>
      <header>
        <h3>
          <HelpTooltip help={help}>{title}</HelpTooltip>
        </h3>
        <FigureMenu title={name} />
      </header>
      <svg viewBox="-42 -42 84 72" role="img" aria-label={`${name} ${share === null ? "unknown" : value}`}>
        <path d={ring(0, 1)} fill="var(--line)" />
        {share !== null && <path className="db-arc" d={ring(0, Math.max(share, 0.004))} fill={colour} />}
        {limits.map((limit) => (
          <path key={limit} d={ring(limit - 0.004, limit + 0.004)} fill="var(--surface)" />
        ))}
        <text className="db-acceptance-gauge-value" y={6}>
          {value}
        </text>
      </svg>
      <Sparkline gauge={gauge} />
    </section>
  );
}

function Sparkline({ gauge: { history, colour, limits } }: { gauge: Gauge }) {
  const known = history.flatMap(({ round, rate }) => (rate === null ? [] : [{ round, rate }]));
  const first = known[0];
  const last = known.at(-1);
  if (!first || !last || known.length < 2) return <div className="db-spark" />;
  const x = scaleLinear([first.round, last.round], [0, 100]);
  const y = scaleLinear([0, 1], [22, 2]);
  const path = line<{ round: number; rate: number }>(
    (point) => x(point.round),
    (point) => y(point.rate),
  )(thinned(known, SPARK_POINTS));
  const summary = `From ${Math.round(first.rate * 100)} % after round ${first.round} to ${Math.round(last.rate * 100)} % after round ${last.round}`;
  return (
    <svg className="db-spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label={summary}>
      {limits.map((limit) => (
        <path key={limit} className="db-spark-limit" d={`M0,${y(limit)}H100`} />
      ))}
      <path className="db-spark-line" d={path ?? ""} stroke={colour} />
    </svg>
  );
}
