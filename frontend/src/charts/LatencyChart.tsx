// Where the time of the last rounds went.
import { Bar, BarChart, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import { milliseconds } from "../state/format";
import { ChartTip } from "./ChartTip";
import { AXIS, axisFromZero, MARGIN, NO_ANIMATION, TIP } from "./chart";
import { Figure, Key } from "./Figure";
import type { LatencyRow, TimePart } from "./select";

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
const fillOf = (part: TimePart) => (part === "evidence" ? "url(#db-hatch)" : `var(--time-${part})`);
const words = (name: string, value: unknown): string =>
  `${name} ${milliseconds(typeof value === "number" ? value : null)}`;

export function LatencyChart({ rows }: { rows: LatencyRow[] }) {
  const shown = PARTS.filter(({ part }) => part !== "network" || rows.some((row) => row.network > 0));
  const key = shown.map(({ part, help }) =>
    part === "evidence"
      ? ({ name: part, help, colour: "var(--time-other)", look: "hatched" } as const)
      : { name: part, help, colour: `var(--time-${part})` },
  );
  const table = {
    head: ["Round", "Total", ...PARTS.map(({ part }) => part)],
    rows: rows.map((row) => [
      `${row.round}`,
      milliseconds(row.total),
      ...PARTS.map(({ part }) => milliseconds(row[part])),
    ]),
  };
  const axis = axisFromZero(rows.map((row) => row.total));
  return (
    <Figure
      title="Latency per round, ms"
      help={HELP}
      aside={<Key items={key} />}
      table={table}
      className="is-chart"
    >
      <div className="db-plot">
        <ResponsiveContainer width="100%" height="100%" initialDimension={{ width: 290, height: 120 }}>
          <BarChart
            data={rows}
            margin={MARGIN}
            barCategoryGap="22%"
            title="Latency per round, last ten rounds"
          >
            <defs>
              <pattern
                id="db-hatch"
                width="4"
                height="4"
                patternUnits="userSpaceOnUse"
                patternTransform="rotate(45)"
              >
                <rect width="1.6" height="4" fill="var(--time-other)" />
              </pattern>
            </defs>
            <XAxis {...AXIS} dataKey="round" interval="preserveStartEnd" minTickGap={4} />
            <YAxis {...AXIS} {...axis} interval={0} width={34} />
            <Tooltip {...TIP} content={<ChartTip words={words} />} />
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
          </BarChart>
        </ResponsiveContainer>
      </div>
    </Figure>
  );
}
