// A choice of one of a few values, side by side.
import { RadioGroup } from "radix-ui";
import "./segments.css";

export interface Segment<T extends string> {
  readonly value: T;
  readonly name: string;
  /** Its tooltip, and its description for screen readers. */
  readonly help: string;
}

interface Props<T extends string> {
  readonly label: string;
  readonly segments: readonly Segment<T>[];
  readonly value: T;
  readonly disabled?: boolean;
  onChoose(value: T): void;
}

export function Segments<T extends string>({ label, segments, value, disabled = false, onChoose }: Props<T>) {
  return (
    <RadioGroup.Root
      className="segments"
      orientation="horizontal"
      aria-label={label}
      value={value}
      disabled={disabled}
      onValueChange={(chosen) => onChoose(chosen as T)}
    >
      {segments.map(({ value: own, name, help }) => (
        <RadioGroup.Item key={own} value={own} className="segment" title={help}>
          {name}
        </RadioGroup.Item>
      ))}
    </RadioGroup.Root>
  );
}
