// A bar of a probability that can be dragged, and moved with the keyboard.
import type { KeyboardEvent, PointerEvent, ReactNode } from "react";
import { LEAST } from "../../theory/rule";
import { percent } from "../../words/format";

const STEP = 0.01;
const PAGE = 0.1;

interface Props {
  readonly name: string;
  readonly value: number;
  readonly highest: number;
  onMove(value: number): void;
  readonly children: ReactNode;
}

/** Where a key moves the value; null for a key that is not the slider's. */
function moved(key: string, value: number, highest: number): number | null {
  const targets: Readonly<Record<string, number>> = {
    ArrowRight: value + STEP,
    ArrowUp: value + STEP,
    ArrowLeft: value - STEP,
    ArrowDown: value - STEP,
    PageUp: value + PAGE,
    PageDown: value - PAGE,
    Home: LEAST,
    End: highest,
  };
  return targets[key] ?? null;
}

export function ShareBar({ name, value, highest, onMove, children }: Props) {
  const onKeyDown = (event: KeyboardEvent) => {
    const next = moved(event.key, value, highest);
    if (next === null) return;
    event.preventDefault();
    onMove(next);
  };
  const follow = (event: PointerEvent<HTMLElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    if (width > 0) onMove((event.clientX - left) / width);
  };
  return (
    <div
      role="slider"
      tabIndex={0}
      className="share-bar"
      aria-label={name}
      aria-valuemin={LEAST * 100}
      aria-valuemax={highest * 100}
      aria-valuenow={Math.round(value * 100)}
      aria-valuetext={percent(value)}
      onKeyDown={onKeyDown}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        follow(event);
      }}
      onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && follow(event)}
    >
      {children}
    </div>
  );
}
