// The frame of a chart over rounds: axes from the data, the size of its box, and the values under the pointer.
import type { ScaleLinear } from "d3-scale";
import { type PointerEvent, type ReactNode, useRef, useState } from "react";
import { useSize } from "../ui/useSize";
import { axisFromZero, MARGIN } from "./axes";
import "./plot.css";

const FALLBACK = { width: 290, height: 120 };
/** Room for the labels of the axes. */
const LEFT = 34;
const BOTTOM = 18;
/** Between a label and the end of the axis. */
const LABEL_GAP = 6;

export interface Frame {
  readonly x: ScaleLinear<number, number>;
  readonly y: ScaleLinear<number, number>;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A label of the horizontal axis. */
export interface Tick {
  readonly at: number;
  readonly words: string;
}

interface Props {
  /** What the picture shows, in a few words. */
  readonly title: string;
  /** The horizontal scale, from 0 to 1 across the plot, whatever is on it. */
  readonly scale: ScaleLinear<number, number>;
  readonly ticks: (frame: Frame) => readonly Tick[];
  /** All values, so that none is outside the vertical axis. */
  readonly values: readonly number[];
  /** The index of what is nearest to a place on the horizontal axis. */
  readonly nearest: (value: number) => number;
  /** The words about it; null for none. */
  readonly tooltip: (index: number) => ReactNode;
  /** The place of it on the horizontal axis. */
  readonly place: (index: number) => number;
  readonly children: (frame: Frame) => ReactNode;
}

export function Plot({ title, scale, ticks, values, nearest, tooltip, place, children }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const measured = useSize(box);
  const width = measured?.width || FALLBACK.width;
  const height = measured?.height || FALLBACK.height;
  const [pointed, setPointed] = useState<number | null>(null);
  const axis = axisFromZero(values);
  const [left, right, top, bottom] = [LEFT, width - MARGIN.right, MARGIN.top, height - BOTTOM];
  const frame: Frame = {
    x: scale.copy().range([left, right]),
    y: axis.scale.range([bottom, top]),
    left,
    right,
    top,
    bottom,
  };
  const point = (event: PointerEvent<SVGSVGElement>) => {
    const { left: start } = event.currentTarget.getBoundingClientRect();
    setPointed(nearest(frame.x.invert(event.clientX - start)));
  };
  const words = pointed === null ? null : tooltip(pointed);
  const at = pointed === null ? left : frame.x(place(pointed));
  return (
    <div ref={box} className="db-plot">
      {/* Its values are in the table, for screen readers. */}
      <svg
        role="img"
        aria-label={title}
        width={width}
        height={height}
        onPointerMove={point}
        onPointerLeave={() => setPointed(null)}
      >
        {axis.ticks.map((tick) => (
          <text key={tick} className="plot-label is-y" x={left - LABEL_GAP} y={frame.y(tick) + 3.5}>
            {axis.tickFormatter(tick)}
          </text>
        ))}
        {ticks(frame).map((tick) => (
          <text key={tick.at} className="plot-label" x={frame.x(tick.at)} y={bottom + 13}>
            {tick.words}
          </text>
        ))}
        {words !== null && <path className="plot-cursor" d={`M${at},${top}V${bottom}`} />}
        {children(frame)}
        <path className="plot-axis" d={`M${left},${bottom}H${right}`} />
      </svg>
      {words !== null && (
        <div
          className="tooltip-body db-tooltip"
          style={at > (left + right) / 2 ? { right: width - at + 8 } : { left: at + 8 }}
        >
          {words}
        </div>
      )}
    </div>
  );
}

/** Whole numbers on the horizontal axis, about one for every 60 pixels. */
export function roundTicks({ x, left, right }: Frame): Tick[] {
  const whole = x.ticks(Math.max(2, (right - left) / 60)).filter(Number.isInteger);
  return whole.map((at) => ({ at, words: `${at}` }));
}
