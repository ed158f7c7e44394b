// A slider with its name and its value.
import { Slider } from "radix-ui";
import type { ReactNode } from "react";
import "./controls.css";

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
  onMove(value: number): void;
}

export function ValueSlider({ name, range, value, shown, help, disabled = false, note, onMove }: Props) {
  return (
    <div title={help}>
      <div className="mb-1 flex items-baseline justify-between gap-2 text-[13px]">
        <span className="text-soft">{name}</span>
        <span className="figures font-medium">{shown}</span>
      </div>
      <Slider.Root
        className="slider"
        min={range.min}
        max={range.max}
        step={range.step}
        value={[value]}
        disabled={disabled}
        onValueChange={([next]) => next !== undefined && onMove(next)}
      >
        <Slider.Track className="slider-track">
          <Slider.Range className="slider-range" />
        </Slider.Track>
        <Slider.Thumb className="slider-thumb" aria-label={name} aria-valuetext={shown} />
      </Slider.Root>
      {note}
    </div>
  );
}
