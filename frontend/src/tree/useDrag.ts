import { type PointerEvent, useRef } from "react";
import type { Place } from "./forces";

const DRAG_FROM_PX = 3;

/** Drags a token with the pointer. `moved`: whether the last press was a drag, not a click. */
export function useDrag(
  box: { readonly current: HTMLElement | null },
  hold: (key: string, place: Place | null) => void,
) {
  const held = useRef<{ key: string; x: number; y: number } | null>(null);
  const wasMoved = useRef(false);
  return {
    begin(key: string, event: PointerEvent) {
      held.current = { key, x: event.clientX, y: event.clientY };
      wasMoved.current = false;
    },
    move(event: PointerEvent) {
      const { current } = held;
      const frame = box.current?.getBoundingClientRect();
      if (!current || !frame) return;
      wasMoved.current ||= Math.hypot(event.clientX - current.x, event.clientY - current.y) > DRAG_FROM_PX;
      if (wasMoved.current)
        hold(current.key, { x: event.clientX - frame.left, y: event.clientY - frame.top });
    },
    end() {
      if (held.current && wasMoved.current) hold(held.current.key, null);
      held.current = null;
    },
    moved: () => wasMoved.current,
  };
}
