// Tokens per second after each round as an area, with the baseline as a line.
import { scaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { fixed } from "../words/format";
import { ChartLegend, Figure, type LegendItem } from "./Figure";
import { type Frame, Plot, roundTicks } from "./Plot";
import type { SpeedPoint } from "./series";
import type { BaselineFigures } from "./speedup";
import { columnsOf, thinned } from "./thin";

const HELP =
  "Emitted tokens / the time of their rounds. The area is the last 50 rounds together, a dot one round; a round faster than the axis is at its top. The dashed line is the baseline: the target alone.";
const LEGEND: readonly LegendItem[] = [
  {
    name: "running",
    help: "The last 50 rounds together: their emitted tokens / their time.",
    colour: "var(--accent)",
    look: "line",
  },
  {
    name: "round",
    help: "One round: its emitted tokens / its time. Where several rounds share a column of the chart, a line from the slowest to the fastest.",
    colour: "var(--text-faint)",
    look: "dot",
  },
];
const legendItem = ({ name, help }: BaselineFigures): LegendItem => ({
  name,
  help,
  colour: "var(--text-soft)",
  look: "dashed",
});
/** The axis ends at so many times the largest running value or the baseline: single rounds can be far above. */
const HEADROOM = 2;
const rate = (value: number | null): string => `${fixed(value, 1)} tok/s`;

interface Props {
  readonly series: readonly SpeedPoint[];
  /** Null if no speedup may be claimed. */
  readonly baseline: BaselineFigures | null;
}

export function SpeedChart({ series, baseline }: Props) {
  const baselineTps = baseline?.tps ?? null;
  const table = {
    head: ["Round", "Round alone, tok/s", "Running, tok/s"],
    rows: series
      .slice(-10)
      .map((point) => [`${point.round}`, fixed(point.perRound, 1), fixed(point.running, 1)]),
  };
  const first = series[0]?.round ?? 1;
  const last = series.at(-1)?.round ?? 1;
  const steady = Math.max(baselineTps ?? 0, ...series.map(({ running }) => running ?? 0));
  const rounds = series.map(({ perRound }) => Math.min(perRound ?? 0, HEADROOM * steady));
  return (
    <Figure
      title="Tokens per second"
      help={HELP}
      aside={<ChartLegend items={baseline ? [...LEGEND, legendItem(baseline)] : LEGEND} />}
      table={table}
      className="is-chart"
    >
      <Plot
        title="Tokens per second by round"
        scale={scaleLinear([first, Math.max(first + 1, last)], [0, 1])}
        ticks={roundTicks}
        values={[steady, ...rounds]}
        nearest={(round) => Math.min(series.length - 1, Math.max(0, Math.round(round) - first))}
        place={(index) => series[index]?.round ?? first}
        tooltip={(index) => <Words point={series[index]} baselineTps={baselineTps} />}
      >
        {(frame) => <Speeds frame={frame} series={series} baselineTps={baselineTps} />}
      </Plot>
    </Figure>
  );
}

function Words({ point, baselineTps }: { point: SpeedPoint | undefined; baselineTps: number | null }) {
  if (!point) return null;
  return (
    <>
      <b>round {point.round}</b>
      <span>round: {rate(point.perRound)}</span>
      <span>running: {rate(point.running)}</span>
      {baselineTps !== null && <span>baseline: {rate(baselineTps)}</span>}
    </>
  );
}

interface SpeedsProps {
  readonly frame: Frame;
  readonly series: readonly SpeedPoint[];
  readonly baselineTps: number | null;
}

type Known = SpeedPoint & { readonly running: number };

function Speeds({ frame: { x, y, left, right, bottom }, series, baselineTps }: SpeedsProps) {
  const known = series.filter((point): point is Known => point.running !== null);
  const shown = thinned(known, right - left);
  const at = (point: Known) => x(point.round);
  const height = (point: Known) => y(point.running);
  const dots = columnsOf(
    series,
    right - left,
    ({ perRound }) => perRound && Math.min(perRound, y.domain()[1] ?? perRound),
  )
    .map(
      ({ item, least, most }) => `M${x(item.round).toFixed(1)},${y(least).toFixed(1)}V${y(most).toFixed(1)}`,
    )
    .join("");
  return (
    <>
      <path className="plot-area" d={area(at, bottom, height)(shown) ?? ""} />
      <path className="plot-dots" d={dots} />
      <path className="plot-line" d={line(at, height)(shown) ?? ""} />
      {shown.length === 1 && shown[0] && (
        <circle className="plot-point" cx={at(shown[0])} cy={height(shown[0])} r={2.5} />
      )}
      {baselineTps !== null && <path className="plot-baseline" d={`M${left},${y(baselineTps)}H${right}`} />}
    </>
  );
}
