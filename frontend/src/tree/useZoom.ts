// d3-zoom reads the gestures: pinch, ctrl with wheel, drag. Zooming wraps the tree again. Panning is the normal scrolling
// of the element, so touch, wheel, keyboard and scroll bar work as usual.
import { select } from "d3-selection";
import "d3-transition";
import { type D3ZoomEvent, zoom as d3zoom, type ZoomBehavior, zoomIdentity, zoomTransform } from "d3-zoom";
import { type RefObject, useEffect, useRef, useState } from "react";
import { prefersReducedMotion } from "../ui/useSize";
import { ZOOM_MAX, ZOOM_MIN } from "./scale";

const STEP_MS = 180;

function isGesture(event: MouseEvent | TouchEvent | WheelEvent): boolean {
  if (event.type === "wheel") return event.ctrlKey || event.metaKey;
  if ("touches" in event) return event.touches.length === 2;
  return event.type === "mousedown" && (event as MouseEvent).button === 0 && !event.ctrlKey;
}

/** A touchpad reports a pinch as ctrl with small wheel steps. A mouse wheel has large ones. */
const PINCH_BELOW_PX = 40;

function wheelDelta(event: WheelEvent): number {
  const lines = event.deltaMode === 1;
  const speed = lines ? 0.08 : Math.abs(event.deltaY) < PINCH_BELOW_PX ? 0.012 : 0.0022;
  return -event.deltaY * speed;
}

export interface Zoom {
  readonly zoom: number;
  to(zoom: number): void;
  by(factor: number): void;
}

export function useZoom(
  view: RefObject<HTMLElement | null>,
  start: number,
  onDrag: (dy: number) => void,
  onGesture: () => void,
): Zoom {
  const [zoom, setZoom] = useState(start);
  const behavior = useRef<ZoomBehavior<HTMLElement, unknown> | null>(null);
  /** The target of the running transition, so that quick presses of a button add up. */
  const goal = useRef(start);
  const handlers = useRef({ onDrag, onGesture });
  handlers.current = { onDrag, onGesture };

  useEffect(() => {
    const element = view.current;
    if (!element) return;
    let y = 0;
    const gestures = d3zoom<HTMLElement, unknown>()
      .filter(isGesture)
      .wheelDelta(wheelDelta)
      .scaleExtent([ZOOM_MIN, ZOOM_MAX])
      .clickDistance(4)
      .on("zoom", (event: D3ZoomEvent<HTMLElement, unknown>) => {
        const source = event.sourceEvent as Event | null;
        if (source?.type === "mousemove") handlers.current.onDrag(event.transform.y - y);
        else if (source) handlers.current.onGesture();
        if (source) goal.current = event.transform.k;
        y = event.transform.y;
        setZoom(event.transform.k);
      });
    behavior.current = gestures;
    const selection = select(element);
    selection.call(gestures).on("dblclick.zoom", null);
    selection.property("__zoom", zoomIdentity.scale(start));
    return () => {
      selection.interrupt().on(".zoom", null);
    };
  }, [view, start]);

  const to = (wanted: number) => {
    const target = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, wanted));
    goal.current = target;
    const element = view.current;
    if (!element || !behavior.current) return;
    const selection = select(element);
    if (prefersReducedMotion() || Math.abs(zoomTransform(element).k - target) < 1e-3) {
      selection.call(behavior.current.scaleTo, target);
    } else selection.transition().duration(STEP_MS).call(behavior.current.scaleTo, target);
  };
  return { zoom, to, by: (factor) => to(goal.current * factor) };
}
