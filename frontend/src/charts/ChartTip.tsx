// A chart's tooltip: one line a series.
import type { TooltipContentProps } from "recharts";

interface Props extends Partial<TooltipContentProps> {
  readonly words: (name: string, value: unknown) => string;
}

export function ChartTip({ active, label, payload, words }: Props) {
  if (!active || !payload || payload.length === 0) return null;
  return (
    <div className="explain-body db-tip">
      <b>round {label}</b>
      {payload.map((entry) => (
        <span key={String(entry.name)}>{words(String(entry.name), entry.value)}</span>
      ))}
    </div>
  );
}
