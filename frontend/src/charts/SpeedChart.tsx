// Tokens per second after each round, with the baseline.
import {
  Bar,
  ComposedChart,
  Line,
  ReferenceLine,
  ResponsiveContainer,
  Tooltip,
  XAxis,
  YAxis,
} from "recharts";
import { fixed } from "../words/format";
import { AXIS, axisFromZero, MARGIN, NO_ANIMATION, TOOLTIP } from "./axes";
import { ChartTooltip } from "./ChartTooltip";
import { ChartLegend, Figure, type LegendItem } from "./Figure";
import type { SpeedPoint } from "./series";
import type { BaselineFigures } from "./speedup";

const HELP =
  "Emitted tokens / the time of their rounds. A bar is one round, the line the last 50 rounds together. The dashed line is the baseline: the target alone.";
const LEGEND: readonly LegendItem[] = [
  {
    name: "round",
    help: "One round: its emitted tokens / its time.",
    colour: "color-mix(in srgb, var(--accent) 35%, var(--surface))",
  },
  {
    name: "running",
    help: "The last 50 rounds together: their emitted tokens / their time.",
    colour: "var(--accent)",
    look: "line",
  },
];
const legendItem = ({ name, help }: BaselineFigures): LegendItem => ({
  name,
  help,
  colour: "var(--text-soft)",
  look: "dashed",
});

const words = (name: string, value: unknown): string =>
  `${name}: ${typeof value === "number" ? fixed(value, 1) : "–"} tok/s`;

/** `baseline` is null if no speedup may be claimed. */
export function SpeedChart({ series, baseline }: { series: SpeedPoint[]; baseline: BaselineFigures | null }) {
  const baselineTps = baseline?.tps ?? null;
  const table = {
    head: ["Round", "Round alone, tok/s", "Running, tok/s"],
    rows: series
      .slice(-10)
      .map((point) => [`${point.round}`, fixed(point.perRound, 1), fixed(point.running, 1)]),
  };
  const axis = axisFromZero([
    baselineTps ?? 0,
    ...series.flatMap((point) => [point.perRound ?? 0, point.running ?? 0]),
  ]);
  return (
    <Figure
      title="Tokens per second"
      help={HELP}
      aside={<ChartLegend items={baseline ? [...LEGEND, legendItem(baseline)] : LEGEND} />}
      table={table}
      className="is-chart"
    >
      <div className="db-plot">
        <ResponsiveContainer width="100%" height="100%" initialDimension={{ width: 290, height: 120 }}>
          <ComposedChart
            data={series}
            margin={MARGIN}
            barCategoryGap={series.length > 60 ? 0 : "12%"}
            title="Tokens per second by round"
          >
            <XAxis {...AXIS} dataKey="round" minTickGap={28} />
            <YAxis {...AXIS} {...axis} interval={0} width={34} />
            <Tooltip {...TOOLTIP} content={<ChartTooltip words={words} />} />
            <Bar
              {...NO_ANIMATION}
              name="round"
              dataKey="perRound"
              fill="var(--accent)"
              fillOpacity={0.28}
              maxBarSize={34}
            />
            {baselineTps !== null && (
              <ReferenceLine
                y={baselineTps}
                stroke="var(--text-soft)"
                strokeDasharray="4 3"
                strokeWidth={1.25}
              />
            )}
            <Line
              {...NO_ANIMATION}
              name="running"
              dataKey="running"
              stroke="var(--accent)"
              strokeWidth={2}
              dot={series.length === 1}
            />
          </ComposedChart>
        </ResponsiveContainer>
      </div>
    </Figure>
  );
}
