// All lengths of the tree, in pixels, for one zoom. Zoom changes sizes and the spine wraps again, as for text, so nothing
// exceeds the width. Below one threshold labels disappear; below another rounds become bars.
import type { Token } from "../run/model";

export type Detail = "full" | "dots" | "bars";

export const ZOOM_MIN = 0.12;
export const ZOOM_MAX = 2;
const FULL_FROM = 0.75;
const DOTS_FROM = 0.42;
const TAIL_LABELS_FROM = 1.4;
/** JetBrains Mono's advance, in ems. */
const MONO_ADVANCE = 0.6;
/** Entropy, in nats, at which a node has its largest radius. */
const ENTROPY_LARGEST = 5;

/** The area of a node grows linearly with entropy. */
const sizeOf = (entropy: number) => Math.sqrt(Math.min(1, Math.max(0, entropy) / ENTROPY_LARGEST));

export interface Scale {
  readonly zoom: number;
  readonly detail: Detail;
  readonly margin: number;
  readonly labelFont: number;
  /** Width of one character cell of a label. */
  readonly cell: number;
  readonly labelPad: number;
  /** Whether discarded tokens of a chain have labels. */
  readonly labelledTails: boolean;
  readonly columnMin: number;
  readonly tailStep: number;
  readonly radiusMin: number;
  readonly radiusMax: number;
  readonly radiusUnknown: number;
  readonly headerFont: number;
  /** From the top of the row to the time bar. */
  readonly barY: number;
  readonly barHeight: number;
  readonly spineY: number;
  /** From the centre of a node to the baseline of its label. */
  readonly labelDrop: number;
  readonly spineBelow: number;
  /** Height of a lane below the spine. */
  readonly laneHeight: number;
  /** From the trunk of a branch to its first node. */
  readonly indent: number;
  /** Largest width of a row of leaves, and the gap between two leaves. */
  readonly leafRowWidth: number;
  readonly leafGap: number;
  /** Between a node and the label at its right. */
  readonly besideGap: number;
  readonly rowGap: number;
  readonly roundGap: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
}

export function detailAt(zoom: number): Detail {
  return zoom >= FULL_FROM ? "full" : zoom >= DOTS_FROM ? "dots" : "bars";
}

export function scaleAt(zoom: number): Scale {
  const detail = detailAt(zoom);
  return detail === "full" ? fullScale(zoom) : detail === "dots" ? dotsScale(zoom) : barsScale(zoom);
}

function fullScale(zoom: number): Scale {
  const labelFont = Math.max(10, 11.5 * zoom);
  const radiusMax = 10 * zoom;
  const barY = 16;
  const spineY = barY + 3 + 9 * zoom + radiusMax;
  const labelDrop = radiusMax + labelFont + 1;
  return {
    zoom,
    detail: "full",
    margin: 18,
    labelFont,
    cell: labelFont * MONO_ADVANCE,
    labelPad: 5 * zoom,
    labelledTails: zoom >= TAIL_LABELS_FROM,
    columnMin: 30 * zoom,
    tailStep: 10 * zoom,
    radiusMin: 2.8 * zoom,
    radiusMax,
    radiusUnknown: 5 * zoom,
    headerFont: 10.5,
    barY,
    barHeight: 3,
    spineY,
    labelDrop,
    spineBelow: labelDrop + 5,
    laneHeight: 2 * radiusMax + 4,
    indent: 15 * zoom,
    leafRowWidth: 230 * zoom,
    leafGap: 9 * zoom,
    besideGap: 4 * zoom,
    rowGap: 14 * zoom,
    roundGap: 9 * zoom,
    cellWidth: 0,
    cellHeight: 0,
  };
}

function dotsScale(zoom: number): Scale {
  const size = zoom / FULL_FROM;
  return {
    ...fullScale(FULL_FROM),
    zoom,
    detail: "dots",
    labelledTails: false,
    columnMin: 17 * size,
    tailStep: 9 * size,
    radiusMin: 2.5 * size,
    radiusMax: 6.5 * size,
    radiusUnknown: 3.5 * size,
    headerFont: 9.5,
    barY: 13,
    barHeight: 2.5,
    spineY: 13 + 2.5 + 5 * size + 6.5 * size,
    labelDrop: 0,
    spineBelow: 8 * size,
    laneHeight: 14 * size,
    indent: 6 * size,
    leafRowWidth: 110 * size,
    leafGap: 2 * size,
    besideGap: 0,
    rowGap: 9 * size,
    roundGap: 5 * size,
  };
}

function barsScale(zoom: number): Scale {
  const size = zoom / DOTS_FROM;
  return { ...dotsScale(DOTS_FROM), zoom, detail: "bars", roundGap: 6 * size, ...barSizes(size) };
}

function barSizes(size: number) {
  return { cellWidth: Math.max(9, 46 * size), cellHeight: Math.max(9, 28 * size), rowGap: 10 * size };
}

/** The entropy of the target's distribution, or of the draft's before the verdict; null if unknown. */
export function entropyOf(token: Token): number | null {
  return token.verdict?.entropy ?? token.draft?.entropy ?? null;
}

export function radiusOf(token: Token, scale: Scale): number {
  const entropy = entropyOf(token);
  return entropy === null ? scale.radiusUnknown : radiusFor(entropy, scale);
}

/** `entropy` in nats. */
export const radiusFor = (entropy: number, { radiusMin, radiusMax }: Scale): number =>
  radiusMin + sizeOf(entropy) * (radiusMax - radiusMin);
