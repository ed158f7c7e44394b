// The tooltip of a chart: one line per series.
import type { TooltipContentProps } from "recharts";

interface Props extends Partial<TooltipContentProps> {
  /** The line of a series; null hides it. */
  readonly words: (name: string, value: unknown) => string | null;
}

export function ChartTooltip({ active, label, payload, words }: Props) {
  if (!active || !payload || payload.length === 0) return null;
  return (
    <div className="tooltip-body db-tooltip">
      <b>round {label}</b>
      {payload.map((entry) => {
        const line = words(String(entry.name), entry.value);
        return line !== null && <span key={String(entry.name)}>{line}</span>;
      })}
    </div>
  );
}
