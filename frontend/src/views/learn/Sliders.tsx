// The sliders of a scene, each for one number of its values.
import type { ReactNode } from "react";
import type { SliderOf } from "../../words/learn/sliders";
import { LearnSlider } from "./LearnSlider";

interface Props<T> {
  readonly sliders: readonly SliderOf<T>[];
  readonly values: T;
  /** A value with its unit. */
  shown(field: keyof T & string, value: number): string;
  onMove(values: T): void;
  /** Sliders before these. */
  readonly children?: ReactNode;
}

export function Sliders<T extends { readonly [Field in keyof T]: number }>(props: Props<T>) {
  const { sliders, values, shown, onMove, children } = props;
  return (
    <div className="learn-sliders">
      {children}
      {sliders.map(({ field, name, lowest = 0, highest, step, help }) => (
        <LearnSlider
          key={field}
          name={name}
          value={values[field]}
          lowest={lowest}
          highest={highest}
          step={step}
          shown={shown(field, values[field])}
          help={help}
          onMove={(value) => onMove({ ...values, [field]: value })}
        />
      ))}
    </div>
  );
}
