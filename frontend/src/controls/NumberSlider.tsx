import type { ReactNode } from "react";
import { type NumberField, rangeOf } from "../app/form";
import { formOf, isRunning } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { ValueSlider } from "./ValueSlider";

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
    <ValueSlider
      name={name}
      range={range}
      value={value}
      shown={show(value)}
      help={disabled ? `${range.help}; cannot change during a run` : range.help}
      disabled={disabled}
      note={note}
      onMove={(next) => store.choose({ numbers: { [field]: next } })}
    />
  );
}
