// A slider with its name, its value and one line of explanation.
import { SliderTrack } from "../../controls/SliderTrack";

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
      <SliderTrack min={lowest} max={highest} {...{ name, value, step, shown, onMove }} />
      {help && <p>{help}</p>}
    </div>
  );
}
