// A slider with its name, its value and one line of explanation.
import { Slider } from "radix-ui";
import "../../controls/controls.css";

interface Props {
  readonly name: string;
  readonly value: number;
  readonly lowest?: number;
  readonly highest: number;
  readonly step: number;
  readonly shown: string;
  readonly help?: string;
  onMove(value: number): void;
}

export function LearnSlider({ name, value, lowest = 0, highest, step, shown, help, onMove }: Props) {
  return (
    <div className="learn-slider">
      <div>
        <span>{name}</span>
        <span className="figures">{shown}</span>
      </div>
      <Slider.Root
        className="slider"
        min={lowest}
        max={highest}
        step={step}
        value={[value]}
        onValueChange={([next]) => next !== undefined && onMove(next)}
      >
        <Slider.Track className="slider-track">
          <Slider.Range className="slider-range" />
        </Slider.Track>
        <Slider.Thumb className="slider-thumb" aria-label={name} aria-valuetext={shown} />
      </Slider.Root>
      {help && <p>{help}</p>}
    </div>
  );
}
