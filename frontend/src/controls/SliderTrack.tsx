// The track and the thumb of a slider that has one value.
import { Slider } from "radix-ui";
import "./controls.css";

interface Props {
  readonly name: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  /** The value in words. */
  readonly shown: string;
  readonly disabled?: boolean;
  onMove(value: number): void;
}

export function SliderTrack({ name, value, min, max, step, shown, disabled = false, onMove }: Props) {
  return (
    <Slider.Root
      className="slider"
      min={min}
      max={max}
      step={step}
      value={[value]}
      disabled={disabled}
      onValueChange={([next]) => next !== undefined && onMove(next)}
    >
      <Slider.Track className="slider-track">
        <Slider.Range className="slider-range" />
      </Slider.Track>
      <Slider.Thumb className="slider-thumb" aria-label={name} aria-valuetext={shown} />
    </Slider.Root>
  );
}
