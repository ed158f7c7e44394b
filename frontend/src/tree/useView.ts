// The view of the tree: layout at the current zoom, visible rows, following the newest round, scrolling to a token.
import { type RefObject, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Run } from "../run/model";
import { prefersReducedMotion } from "../ui/useSize";
import { rowOf } from "./find";
import { fitZoom } from "./fit";
import { followTop, type Layout } from "./geometry";
import { layout as lay } from "./layout";
import { scaleAt } from "./scale";
import { useZoom } from "./useZoom";

/** Rows this far outside the viewport are drawn too. */
const OVERSCAN = 120;
const WINDOW_STEP = 120;
const GESTURE_PAUSE_MS = 500;
const SMOOTH_SCROLL_MS = 400;
/** The part of the height that a growing run is fitted into, so that it is not fitted again after every row. */
const GROWING_SHARE = 0.85;
const PAGE_KEYS = new Set(["PageUp", "PageDown"]);

/** What the view does as the run grows: shows its newest rows, or all of it at a smaller zoom, or stays where it is. */
export type ViewMode = "follow" | "fit" | "still";

export interface View {
  readonly layout: Layout;
  readonly from: number;
  readonly to: number;
  /** The height of the drawing: with room below the last row, so that its top can be at the top of the view. */
  readonly height: number;
  readonly mode: ViewMode;
  setMode(mode: ViewMode): void;
  zoomBy(factor: number): void;
  /** With `key`, that token stays in the middle. */
  zoomTo(zoom: number, key?: string): void;
  reveal(key: string): void;
}

/** A token that keeps its height on the screen while the tree wraps again. */
interface Anchor {
  readonly key: string;
  readonly offset: number;
}

type ViewRef = RefObject<HTMLElement | null>;

export function useView(
  ref: ViewRef,
  run: Run,
  size: { width: number; height: number },
  start: number,
): View {
  const [mode, setMode] = useState<ViewMode>("follow");
  const follow = mode === "follow";
  const anchor = useRef<Anchor | null>(null);
  const current = useRef<Layout | undefined>(undefined);
  const scroll = useScroll(ref, () => setMode("still"));

  const holdPosition = () => {
    anchor.current = middleOf(current.current, ref.current);
  };
  const lastGesture = useRef(0);
  const onGesture = () => {
    const now = performance.now();
    if (now - lastGesture.current > GESTURE_PAUSE_MS) holdPosition();
    setMode((before) => (before === "fit" ? "still" : before));
    lastGesture.current = now;
  };
  const onDrag = (dy: number) => {
    ref.current?.scrollBy({ top: -dy, behavior: "instant" });
    setMode("still");
  };
  const { zoom, to, by } = useZoom(ref, start, onDrag, onGesture);
  const scale = useMemo(() => scaleAt(zoom), [zoom]);

  const layout = useMemo(
    () => lay(run.rounds, size.width, scale, current.current),
    [run.rounds, size.width, scale],
  );
  const zoomChanged = current.current?.scale.zoom !== layout.scale.zoom;
  useLayoutEffect(() => {
    current.current = layout;
  }, [layout]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new run starts at its newest round
  useEffect(() => setMode("follow"), [run.id]);
  const followed = useRef<Followed | null>(null);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    if (follow)
      followed.current = scrollAlong(element, followTop(layout, size.height), !zoomChanged, followed.current);
    else followed.current = null;
    if (!follow && zoomChanged && anchor.current) {
      const row = rowOf(layout, anchor.current.key);
      if (row !== null) scrollTo(element, (layout.tops[row] ?? 0) - anchor.current.offset, false);
    }
  }, [ref, follow, layout, size.height, zoomChanged]);

  const reveal = useCallback(
    (key: string) => {
      const span = spanOf(current.current, key);
      const element = ref.current;
      if (!span || !element) return;
      const { scrollTop, clientHeight } = element;
      if (span.top >= scrollTop && span.bottom <= scrollTop + clientHeight) return;
      setMode("still");
      scrollTo(element, (span.top + span.bottom - clientHeight) / 2, true);
    },
    [ref],
  );
  const { rounds } = run;
  const fitted = useRef<Fitted | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `to` is new in every render
  useEffect(() => {
    if (mode !== "fit") {
      fitted.current = null;
      return;
    }
    const growing = run.phase === "running";
    if (growing && stillFits(fitted.current, rounds.length, size, layout)) return;
    to(fitZoom(rounds, growing ? { ...size, height: size.height * GROWING_SHARE } : size));
    fitted.current = { rounds: rounds.length, ...size };
  }, [mode, run.phase, rounds.length, size.width, size.height]);
  const zoomTo = (target: number, key?: string) => {
    if (key) {
      anchor.current = { key, offset: size.height / 2 - 40 };
      setMode("still");
    } else holdPosition();
    to(target);
  };
  const actions = useRef({ holdPosition, by });
  actions.current = { holdPosition, by };
  const zoomBy = useCallback((factor: number) => {
    setMode((before) => (before === "fit" ? "still" : before));
    actions.current.holdPosition();
    actions.current.by(factor);
  }, []);
  return {
    layout,
    from: scroll - OVERSCAN,
    to: scroll + size.height + WINDOW_STEP + OVERSCAN,
    height: Math.max(
      layout.height,
      followTop(layout, size.height) + (layout.height > size.height ? size.height : 0),
    ),
    mode,
    setMode,
    zoomBy,
    zoomTo,
    reveal,
  };
}

/** The last position that following scrolled to, and when. */
interface Followed {
  readonly top: number;
  readonly atMs: number;
}

/** Scrolls only to another position than before: to read the current one would force a layout in every frame. */
function scrollAlong(element: HTMLElement, top: number, smooth: boolean, before: Followed | null): Followed {
  if (before?.top === top) return before;
  const atMs = performance.now();
  // Rows that come faster than the browser scrolls would keep it scrolling for good.
  const quick = before !== null && atMs - before.atMs < SMOOTH_SCROLL_MS;
  scrollTo(element, top, smooth && !quick);
  return { top, atMs };
}

/** What the zoom was chosen for. */
interface Fitted {
  readonly rounds: number;
  readonly width: number;
  readonly height: number;
}

/** A run that grows keeps its zoom as long as it fits. */
const stillFits = (
  fitted: Fitted | null,
  rounds: number,
  size: { width: number; height: number },
  layout: Layout,
): boolean =>
  fitted !== null &&
  rounds > fitted.rounds &&
  fitted.width === size.width &&
  fitted.height === size.height &&
  layout.height <= size.height;

function scrollTo(element: HTMLElement, top: number, smooth: boolean): void {
  const target = Math.max(0, top);
  if (Math.abs(element.scrollTop - target) < 1) return;
  element.scrollTo?.({ top: target, behavior: smooth && !prefersReducedMotion() ? "smooth" : "instant" });
}

function spanOf(layout: Layout | undefined, key: string): { top: number; bottom: number } | null {
  const row = layout ? rowOf(layout, key) : null;
  if (!layout || row === null) return null;
  const top = layout.tops[row] ?? 0;
  return { top, bottom: top + (layout.rows[row]?.height ?? 0) };
}

function middleOf(layout: Layout | undefined, element: HTMLElement | null): Anchor | null {
  if (!layout || !element) return null;
  const middle = element.scrollTop + element.clientHeight / 2;
  const row = layout.tops.findLastIndex((top) => top <= middle);
  const shown = layout.rows[row];
  const round = shown?.bars[0]?.round;
  const key = shown?.nodes[0]?.token.key ?? round?.emitted[0]?.key ?? round?.drafted[0]?.key;
  return key === undefined ? null : { key, offset: (layout.tops[row] ?? 0) - element.scrollTop };
}

/** The scroll position, in steps. Calls `onReader` when the reader scrolled. */
function useScroll(ref: ViewRef, onReader: () => void): number {
  const [top, setTop] = useState(0);
  const moved = useRef(onReader);
  moved.current = onReader;
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const onScroll = () => setTop(Math.floor(element.scrollTop / WINDOW_STEP) * WINDOW_STEP);
    const ifScrollable = () => element.scrollHeight > element.clientHeight + 1 && moved.current();
    const onWheel = (event: WheelEvent) => !event.ctrlKey && !event.metaKey && ifScrollable();
    const onPointerDown = (event: globalThis.PointerEvent) =>
      event.target === element && event.offsetX >= element.clientWidth && ifScrollable();
    const onKeyDown = (event: globalThis.KeyboardEvent) => PAGE_KEYS.has(event.key) && ifScrollable();
    const stop = new AbortController();
    const passive = { passive: true, signal: stop.signal };
    element.addEventListener("scroll", onScroll, passive);
    element.addEventListener("wheel", onWheel, passive);
    element.addEventListener("touchmove", ifScrollable, passive);
    element.addEventListener("pointerdown", onPointerDown, passive);
    element.addEventListener("keydown", onKeyDown, passive);
    return () => stop.abort();
  }, [ref]);
  return top;
}
