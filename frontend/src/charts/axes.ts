// Axes, margins and tooltips of all charts.
import { scaleLinear } from "d3-scale";

const TICKS = 3;
const COMPACT = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

interface Axis {
  domain: [number, number];
  ticks: number[];
  tickFormatter: (value: number) => string;
}

/** An axis from zero to a round number that no value exceeds. Thousands are abbreviated. */
export function axisFromZero(values: readonly number[]): Axis {
  const scale = scaleLinear([0, Math.max(1e-6, ...values)], [0, 1]).nice(TICKS);
  const ticks = scale.ticks(TICKS);
  return { domain: [0, ticks.at(-1) ?? 1], ticks, tickFormatter: (value) => COMPACT.format(value) };
}

/** At the right, half of a label with four digits. */
export const MARGIN = { top: 6, right: 12, bottom: 0, left: 0 };
export const NO_ANIMATION = { isAnimationActive: false } as const;
export const AXIS = {
  tick: { fontSize: 10.5, fill: "var(--text-faint)" },
  tickLine: false,
  axisLine: { stroke: "var(--line)" },
  height: 18,
  tickMargin: 3,
} as const;
export const TOOLTIP = {
  isAnimationActive: false,
  cursor: { stroke: "var(--line-strong)", fill: "var(--line)", fillOpacity: 0.4 },
  wrapperStyle: { zIndex: 30, outline: "none" },
} as const;
