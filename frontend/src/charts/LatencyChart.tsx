// The time of the last rounds, by part.
import { Bar, BarChart, type BarShapeProps, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import type { TimePart } from "../run/times";
import { milliseconds } from "../words/format";
import { AXIS, axisFromZero, MARGIN, NO_ANIMATION, TOOLTIP } from "./axes";
import { ChartTooltip } from "./ChartTooltip";
import { ChartLegend, Figure, type LegendItem } from "./Figure";
import type { LatencyRow } from "./series";

const HELP =
  "The duration of each of the last ten rounds, divided into parts. The parts add up to the round.";
const PARTS: readonly { part: TimePart; help: string }[] = [
  { part: "draft", help: "The drafter proposes tokens." },
  { part: "verify", help: "One pass of the target over the whole draft, and the decision." },
  {
    part: "network",
    help: "The way to a remote target and back; 0 for a target in this process.",
  },
  {
    part: "evidence",
    help: "Entropies and alternatives, computed only for display. They can be switched off.",
  },
  { part: "other", help: "The rest of the round, between the passes." },
];
const AHEAD = "drafting ahead";
const AHEAD_ITEM: LegendItem = {
  name: AHEAD,
  help: "Drafting the next round while a remote target verifies this one. It overlaps with verify and network, so it is not part of the sum. The narrow hatched bar is next to the parts that it overlaps.",
  colour: "var(--time-draft)",
  look: "ahead",
};
const fillOf = (part: TimePart) => (part === "evidence" ? "url(#db-hatch)" : `var(--time-${part})`);

/** The value of drafting ahead is its interval; the others are durations. */
function words(name: string, value: unknown): string | null {
  if (name !== AHEAD) return `${name} ${milliseconds(typeof value === "number" ? value : null)}`;
  return Array.isArray(value) ? `${name}, overlapped, ${milliseconds(value[1] - value[0])}` : null;
}

const legendItem = ({ part, help }: (typeof PARTS)[number]): LegendItem =>
  part === "evidence"
    ? { name: part, help, colour: "var(--time-other)", look: "hatched" }
    : { name: part, help, colour: `var(--time-${part})` };

function tableOf(rows: readonly LatencyRow[], ahead: boolean) {
  return {
    head: [
      "Round",
      "Total",
      ...PARTS.map(({ part }) => part),
      ...(ahead ? [`${AHEAD}, not in the total`] : []),
    ],
    rows: rows.map((row) => [
      `${row.round}`,
      milliseconds(row.total),
      ...PARTS.map(({ part }) => milliseconds(row[part])),
      ...(ahead ? [milliseconds(row.ahead)] : []),
    ]),
  };
}

/** Drafting ahead begins when this round's own draft is finished and sent. */
const aheadInterval = ({ draft, ahead }: LatencyRow): [number, number] | null =>
  ahead > 0 ? [draft, draft + ahead] : null;

export function LatencyChart({ rows }: { rows: LatencyRow[] }) {
  const shown = PARTS.filter(({ part }) => part !== "network" || rows.some((row) => row.network > 0));
  const ahead = rows.some((row) => row.ahead > 0);
  const legend = [...shown.map(legendItem), ...(ahead ? [AHEAD_ITEM] : [])];
  const axis = axisFromZero(rows.flatMap((row) => [row.total, aheadInterval(row)?.[1] ?? 0]));
  return (
    <Figure
      title="Latency per round, ms"
      help={HELP}
      aside={<ChartLegend items={legend} />}
      table={tableOf(rows, ahead)}
      className="is-chart"
    >
      <div className="db-plot">
        <ResponsiveContainer width="100%" height="100%" initialDimension={{ width: 290, height: 120 }}>
          <BarChart
            data={rows}
            margin={MARGIN}
            barCategoryGap={ahead ? "27%" : "22%"}
            title="Latency per round, last ten rounds"
          >
            <defs>
              <Hatch id="db-hatch" colour="var(--time-other)" />
              <Hatch id="db-hatch-ahead" colour="var(--time-draft)" />
            </defs>
            <XAxis {...AXIS} dataKey="round" interval="preserveStartEnd" minTickGap={4} />
            <YAxis {...AXIS} {...axis} interval={0} width={34} />
            <Tooltip {...TOOLTIP} content={<ChartTooltip words={words} />} />
            {shown.map(({ part }) => (
              <Bar
                key={part}
                {...NO_ANIMATION}
                dataKey={part}
                name={part}
                stackId="time"
                fill={fillOf(part)}
                maxBarSize={34}
              />
            ))}
            {/* On an axis of its own, so that it does not make the other bars narrower. */}
            {ahead && <XAxis xAxisId="ahead" dataKey="round" hide />}
            {ahead && (
              <Bar
                {...NO_ANIMATION}
                xAxisId="ahead"
                dataKey={aheadInterval}
                name={AHEAD}
                shape={AheadBar}
                maxBarSize={34}
              />
            )}
          </BarChart>
        </ResponsiveContainer>
      </div>
    </Figure>
  );
}

/** A narrow bar at the right of the round's bar. */
function AheadBar({ x, y, width, height }: BarShapeProps) {
  const narrow = Math.min(8, Math.max(3, width * 0.32));
  const top = Math.min(y, y + height);
  return (
    <rect
      className="db-ahead"
      x={x + width + 1.5}
      y={top}
      width={narrow}
      height={Math.abs(height)}
      fill="url(#db-hatch-ahead)"
    />
  );
}

function Hatch({ id, colour }: { id: string; colour: string }) {
  return (
    <pattern id={id} width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <rect width="1.6" height="4" fill={colour} />
    </pattern>
  );
}
