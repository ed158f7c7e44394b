// A line of horizontal and vertical parts with rounded corners.

export type Point = readonly [x: number, y: number];

/** An SVG path through the points. A corner's radius is at most half of its shorter side. */
export function elbow(points: readonly Point[], radius: number): string {
  const distinct = points.filter((point, at) => at === 0 || !same(point, points[at - 1]));
  const [first, ...rest] = distinct;
  if (!first) return "";
  const parts = [`M${position(first)}`];
  rest.forEach((corner, at) => {
    const before = distinct[at] ?? corner;
    const after = rest[at + 1];
    if (!after) {
      parts.push(`L${position(corner)}`);
      return;
    }
    const turn = Math.min(radius, distance(before, corner) / 2, distance(corner, after) / 2);
    parts.push(
      `L${position(toward(corner, before, turn))}Q${position(corner)} ${position(toward(corner, after, turn))}`,
    );
  });
  return parts.join("");
}

const round = (value: number): number => Math.round(value * 100) / 100;
const position = ([x, y]: Point): string => `${round(x)},${round(y)}`;
const distance = (a: Point, b: Point): number => Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]);
const same = (a: Point, b: Point | undefined): boolean => b !== undefined && distance(a, b) < 0.01;

function toward(from: Point, to: Point, length: number): Point {
  const whole = distance(from, to);
  if (whole === 0) return from;
  const share = length / whole;
  return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
}
