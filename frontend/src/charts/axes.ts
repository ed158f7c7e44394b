// Axes and margins of all charts.
import { type ScaleLinear, scaleLinear } from "d3-scale";

const TICKS = 3;
const COMPACT = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

interface Axis {
  readonly scale: ScaleLinear<number, number>;
  readonly ticks: readonly number[];
  tickFormatter(value: number): string;
}

/** An axis from zero to a round number that no value exceeds. Thousands are abbreviated. */
export function axisFromZero(values: readonly number[]): Axis {
  const most = values.reduce((largest, value) => Math.max(largest, value), 1e-6);
  const scale = scaleLinear([0, most], [0, 1]).nice(TICKS);
  const ticks = scale.ticks(TICKS);
  return {
    scale: scaleLinear([0, ticks.at(-1) ?? 1], [0, 1]),
    ticks,
    tickFormatter: (value) => COMPACT.format(value),
  };
}

/** At the right, half of a label with four digits. */
export const MARGIN = { top: 6, right: 12 } as const;
