// The visible rows on a canvas: for a run whose rounds come faster than SVG elements can be laid out.
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Attention } from "../run/branches";
import type { Run } from "../run/model";
import { prefersReducedMotion } from "../ui/useSize";
import { marksSources } from "../words/sources";
import { describeRound } from "./describe";
import type { Highlight } from "./highlight";
import { RowPainter } from "./rowPainter";
import type { View } from "./useView";

interface Props extends Highlight {
  readonly run: Run;
  readonly view: View;
  readonly attention: Attention | null;
  /** Whether a round is under way, so that the edges to its pending tokens move. */
  readonly flowing: boolean;
}

/** Letters that a ligature would join stay apart. */
const UNJOINED = "0.001px";
const FLOW_STEP_MS = 100;
/** The length of the dashes' pattern. */
const FLOW_LENGTH_PX = 5;

let paints: boolean | null = null;

/** Whether this browser can draw on a canvas. */
export function canPaint(): boolean {
  paints ??= document.createElement("canvas").getContext("2d") !== null;
  return paints;
}

export function TreeCanvas({ run, view, attention, flowing, ...highlight }: Props) {
  const ref = useRef<HTMLCanvasElement>(null);
  const painter = useRef<RowPainter | null>(null);
  const flowPx = useFlow(flowing);
  const { layout } = view;
  const from = Math.max(0, view.from);
  const height = view.to - from;
  useLayoutEffect(() => {
    const context = ref.current?.getContext("2d");
    if (!ref.current || !context) return;
    context.letterSpacing = UNJOINED;
    painter.current = new RowPainter(ref.current, context);
    return () => {
      painter.current = null;
    };
  }, []);
  useLayoutEffect(() => {
    const showSources = marksSources(run.sources);
    painter.current?.paint({ layout, from, height, showSources, attention, flowPx, ...highlight });
  });
  const newest = run.rounds.at(-1);
  return (
    <div role="none" className="tt-paper" style={{ width: layout.width, height: view.height }}>
      <canvas
        ref={ref}
        aria-hidden
        className="tt-canvas"
        style={{ top: from, width: layout.width, height }}
      />
      {newest && (
        <div
          role="treeitem"
          className="sr-only"
          tabIndex={-1}
          aria-level={1}
          aria-selected={false}
          aria-label={`Newest round: ${describeRound(newest)}`}
        />
      )}
    </div>
  );
}

/** How far the dashes of pending edges have moved; always 0 where less motion is wanted. */
function useFlow(flowing: boolean): number {
  const [px, setPx] = useState(0);
  useEffect(() => {
    if (!flowing || prefersReducedMotion()) return;
    const timer = setInterval(() => setPx((before) => (before + 1) % FLOW_LENGTH_PX), FLOW_STEP_MS);
    return () => clearInterval(timer);
  }, [flowing]);
  return px;
}
