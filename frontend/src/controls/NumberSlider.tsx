import { Slider } from "radix-ui";
import type { ReactNode } from "react";
import { type NumberField, rangeOf } from "../app/form";
import { formOf, isRunning } from "../app/state";
import { useApp, useStore } from "../app/useStore";

/** Fields that may change during a run. The others apply to the next run. */
const LIVE: ReadonlySet<NumberField> = new Set(["k", "deepest", "nodes", "temperature"]);

interface Props {
  field: NumberField;
  name: string;
  show(value: number): string;
  note?: ReactNode;
}

export function NumberSlider({ field, name, show, note }: Props) {
  const store = useStore();
  const settings = useApp((state) => state.settings);
  const value = useApp((state) => formOf(state).numbers[field]);
  const running = useApp(isRunning);
  const range = rangeOf(settings, field);
  const disabled = running && !LIVE.has(field);
  return (
    <div title={disabled ? `${range.help}; cannot change during a run` : range.help}>
      <div className="mb-1 flex items-baseline justify-between gap-2 text-[13px]">
        <span className="text-soft">{name}</span>
        <span className="figures font-medium">{show(value)}</span>
      </div>
      <Slider.Root
        className="slider"
        min={range.min}
        max={range.max}
        step={range.step}
        value={[value]}
        disabled={disabled}
        onValueChange={([next]) => next !== undefined && store.choose({ numbers: { [field]: next } })}
      >
        <Slider.Track className="slider-track">
          <Slider.Range className="slider-range" />
        </Slider.Track>
        <Slider.Thumb className="slider-thumb" aria-label={name} aria-valuetext={show(value)} />
      </Slider.Root>
      {note}
    </div>
  );
}
