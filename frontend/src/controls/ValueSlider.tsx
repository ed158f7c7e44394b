// A slider with its name and its value.
import type { ReactNode } from "react";
import { SliderTrack } from "./SliderTrack";

interface Props {
  readonly name: string;
  readonly range: { readonly min: number; readonly max: number; readonly step: number };
  readonly value: number;
  /** The value in words. */
  readonly shown: string;
  /** Its tooltip. */
  readonly help: string;
  readonly disabled?: boolean;
  readonly note?: ReactNode;
  /** A small button after the value. */
  readonly action?: ReactNode;
  onMove(value: number): void;
}

export function ValueSlider(props: Props) {
  const { name, range, value, shown, help, disabled = false, note, action, onMove } = props;
  return (
    <div title={help} className="value-slider">
      <div className="mb-1 flex items-baseline justify-between gap-2 text-[13px]">
        <span className="text-soft">{name}</span>
        <span className="flex items-center gap-1">
          <span className="figures font-medium">{shown}</span>
          {action}
        </span>
      </div>
      <SliderTrack {...range} {...{ name, value, shown, disabled, onMove }} />
      {note}
    </div>
  );
}
