import { Undo2 } from "lucide-react";
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
  /** Who chooses the value until the user does. */
  by?: string;
  note?: ReactNode;
}

export function NumberSlider({ field, name, show, by = "the server", note }: Props) {
  const store = useStore();
  const settings = useApp((state) => state.settings);
  const value = useApp((state) => formOf(state).numbers[field]);
  const own = useApp((state) => state.choices.numbers[field] !== undefined);
  const running = useApp(isRunning);
  const range = rangeOf(settings, field);
  const disabled = running && !LIVE.has(field);
  const leave = (
    <button
      type="button"
      className="icon-button slider-leave"
      aria-label={`${name}: leave it to ${by} again`}
      title={`Leave it to ${by} again`}
      onClick={({ currentTarget }) => {
        // The button goes, and the slider has the focus then.
        const slider = currentTarget.closest(".value-slider")?.querySelector<HTMLElement>("[role=slider]");
        store.leave(field);
        slider?.focus();
      }}
    >
      <Undo2 size={13} aria-hidden />
    </button>
  );
  return (
    <ValueSlider
      name={name}
      range={range}
      value={value}
      shown={show(value)}
      help={disabled ? `${range.help}; cannot change during a run` : range.help}
      disabled={disabled}
      note={note}
      action={own && !disabled && leave}
      onMove={(next) => store.choose({ numbers: { [field]: next } })}
    />
  );
}
