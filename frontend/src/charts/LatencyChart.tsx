// The time of the last rounds, by part.
import { scaleLinear } from "d3-scale";
import { useId } from "react";
import type { TimePart } from "../run/times";
import { milliseconds } from "../words/format";
import { ChartLegend, Figure, type LegendItem } from "./Figure";
import { type Frame, Plot, type Tick } from "./Plot";
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

const WIDEST_BAR = 34;
/** The share of its place that a bar takes. */
const BAR_SHARE = 0.64;

export function LatencyChart({ rows }: { rows: readonly LatencyRow[] }) {
  const shown = PARTS.filter(({ part }) => part !== "network" || rows.some((row) => row.network > 0));
  const ahead = rows.some((row) => row.ahead > 0);
  const legend = [...shown.map(legendItem), ...(ahead ? [AHEAD_ITEM] : [])];
  const values = rows.flatMap((row) => [row.total, aheadInterval(row)?.[1] ?? 0]);
  return (
    <Figure
      title="Latency per round, ms"
      help={HELP}
      aside={<ChartLegend items={legend} />}
      table={tableOf(rows, ahead)}
      className="is-chart"
    >
      <Plot
        title="Latency per round, last ten rounds"
        scale={scaleLinear([-0.5, Math.max(0.5, rows.length - 0.5)], [0, 1])}
        ticks={() => rows.map(({ round }, at): Tick => ({ at, words: `${round}` }))}
        values={values}
        nearest={(value) => Math.min(rows.length - 1, Math.max(0, Math.round(value)))}
        place={(index) => index}
        tooltip={(index) => <Words row={rows[index]} />}
      >
        {(frame) => <Bars frame={frame} rows={rows} parts={shown.map(({ part }) => part)} />}
      </Plot>
    </Figure>
  );
}

function Words({ row }: { row: LatencyRow | undefined }) {
  if (!row) return null;
  return (
    <>
      <b>round {row.round}</b>
      {PARTS.filter(({ part }) => row[part] > 0).map(({ part }) => (
        <span key={part}>
          {part} {milliseconds(row[part])}
        </span>
      ))}
      {row.ahead > 0 && (
        <span>
          {AHEAD}, overlapped, {milliseconds(row.ahead)}
        </span>
      )}
    </>
  );
}

interface BarsProps {
  readonly frame: Frame;
  readonly rows: readonly LatencyRow[];
  readonly parts: readonly TimePart[];
}

/** The parts of a round, one on the other; drafting ahead is a narrow bar beside those that it overlaps. */
function Bars({ frame: { x, y }, rows, parts }: BarsProps) {
  const hatch = useId();
  const width = Math.min(WIDEST_BAR, (x(1) - x(0)) * BAR_SHARE);
  const fillOf = (part: TimePart) => (part === "evidence" ? `url(#${hatch})` : `var(--time-${part})`);
  return (
    <>
      <defs>
        <Hatch id={hatch} colour="var(--time-other)" />
        <Hatch id={`${hatch}-ahead`} colour="var(--time-draft)" />
      </defs>
      {rows.map((row, at) => {
        const ahead = aheadInterval(row);
        const left = x(at) - width / 2;
        return (
          <g key={row.round}>
            {stackOf(row, parts).map(({ part, from, to }) => (
              <rect
                key={part}
                className="plot-bar"
                x={left}
                y={y(to)}
                width={width}
                height={y(from) - y(to)}
                fill={fillOf(part)}
              />
            ))}
            {ahead && (
              <rect
                className="db-ahead"
                x={left + width + 1.5}
                y={y(ahead[1])}
                width={Math.min(8, Math.max(3, width * 0.32))}
                height={y(ahead[0]) - y(ahead[1])}
                fill={`url(#${hatch}-ahead)`}
              />
            )}
          </g>
        );
      })}
    </>
  );
}

function stackOf(row: LatencyRow, parts: readonly TimePart[]) {
  let to = 0;
  return parts.map((part) => {
    const from = to;
    to += row[part];
    return { part, from, to };
  });
}

function Hatch({ id, colour }: { id: string; colour: string }) {
  return (
    <pattern id={id} width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <rect width="1.6" height="4" fill={colour} />
    </pattern>
  );
}
