// Where the time of the last rounds went.
import { Bar, BarChart, type BarShapeProps, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import type { TimePart } from "../run/times";
import { milliseconds } from "../words/format";
import { AXIS, axisFromZero, MARGIN, NO_ANIMATION, TOOLTIP } from "./axes";
import { ChartTooltip } from "./ChartTooltip";
import { ChartLegend, Figure, type LegendItem } from "./Figure";
import type { LatencyRow } from "./series";

const HELP = "How long each of the last ten rounds took, and on what. The parts add up to the round.";
const PARTS: readonly { part: TimePart; help: string }[] = [
  { part: "draft", help: "The drafter proposing tokens." },
  { part: "verify", help: "The target's one pass over the whole draft, and the decision." },
  {
    part: "network",
    help: "Waiting for a target that sits on another machine; nothing when it is in this process.",
  },
  {
    part: "evidence",
    help: "Computing what is only shown: entropies and alternatives. It can be switched off.",
  },
  { part: "other", help: "What is left of the round: bookkeeping between the passes." },
];
const AHEAD = "drafting ahead";
const AHEAD_KEY: LegendItem = {
  name: AHEAD,
  help: "Drafting the next round while the target elsewhere checks this one. It goes on beside verify and network, so it is no part of the sum: the narrow hatched bar stands next to what it overlaps.",
  colour: "var(--time-draft)",
  look: "ahead",
};
const fillOf = (part: TimePart) => (part === "evidence" ? "url(#db-hatch)" : `var(--time-${part})`);

/** What is drafted ahead is a span beside the others, where there is one. */
function words(name: string, value: unknown): string | null {
  if (name !== AHEAD) return `${name} ${milliseconds(typeof value === "number" ? value : null)}`;
  return Array.isArray(value) ? `meanwhile ${name} ${milliseconds(value[1] - value[0])}` : null;
}

const keyOf = ({ part, help }: (typeof PARTS)[number]): LegendItem =>
  part === "evidence"
    ? { name: part, help, colour: "var(--time-other)", look: "hatched" }
    : { name: part, help, colour: `var(--time-${part})` };

function tableOf(rows: readonly LatencyRow[], ahead: boolean) {
  return {
    head: [
      "Round",
      "Total",
      ...PARTS.map(({ part }) => part),
      ...(ahead ? [`${AHEAD}, beside the total`] : []),
    ],
    rows: rows.map((row) => [
      `${row.round}`,
      milliseconds(row.total),
      ...PARTS.map(({ part }) => milliseconds(row[part])),
      ...(ahead ? [milliseconds(row.ahead)] : []),
    ]),
  };
}

/** From the end of this round's own drafting, when the draft is on its way, on. */
const spanOf = ({ draft, ahead }: LatencyRow): [number, number] | null =>
  ahead > 0 ? [draft, draft + ahead] : null;

export function LatencyChart({ rows }: { rows: LatencyRow[] }) {
  const shown = PARTS.filter(({ part }) => part !== "network" || rows.some((row) => row.network > 0));
  const ahead = rows.some((row) => row.ahead > 0);
  const key = [...shown.map(keyOf), ...(ahead ? [AHEAD_KEY] : [])];
  const axis = axisFromZero(rows.flatMap((row) => [row.total, spanOf(row)?.[1] ?? 0]));
  return (
    <Figure
      title="Latency per round, ms"
      help={HELP}
      aside={<ChartLegend items={key} />}
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
            {/* On an axis of its own, so that it takes no room from the bars it stands next to. */}
            {ahead && <XAxis xAxisId="ahead" dataKey="round" hide />}
            {ahead && (
              <Bar
                {...NO_ANIMATION}
                xAxisId="ahead"
                dataKey={spanOf}
                name={AHEAD}
                shape={Beside}
                maxBarSize={34}
              />
            )}
          </BarChart>
        </ResponsiveContainer>
      </div>
    </Figure>
  );
}

/** A narrow bar right of the place where a bar would be. */
function Beside({ x, y, width, height }: BarShapeProps) {
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
