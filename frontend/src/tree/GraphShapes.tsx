// The parts of a round's graph: edges, the committed token before it, and the tokens.
import { visible } from "../words/label";
import type { Place } from "./forces";
import { fillOpacity, glyph } from "./glyph";
import type { Graph, GraphNode } from "./graph";
import { radiusOf, scaleAt } from "./scale";

/** An enlarged round: larger than in the tree. */
const SCALE = scaleAt(1.4);
/** The name of the node contains this text. */
const DECORATIVE = { "aria-hidden": true } as const;

export function GraphEdges({ graph, places }: { graph: Graph; places: ReadonlyMap<string, Place> }) {
  return graph.edges.map(({ from, to, kind }) => {
    const [a, b] = [places.get(from), places.get(to)];
    if (!a || !b) return null;
    const middle = ((a.x + b.x) / 2).toFixed(1);
    const path = `M${a.x.toFixed(1)},${a.y.toFixed(1)}C${middle},${a.y.toFixed(1)} ${middle},${b.y.toFixed(1)} ${b.x.toFixed(1)},${b.y.toFixed(1)}`;
    return <path key={to} className={`tt-edge is-${kind}`} d={path} />;
  });
}

export function GraphRoot({ at, label }: { at: Place; label: string | null }) {
  return (
    <g {...DECORATIVE} transform={`translate(${at.x.toFixed(1)}, ${at.y.toFixed(1)})`}>
      <circle className="rg-root" r={5} />
      <text className="tt-label" y={24} fontSize={SCALE.labelFont}>
        {label === null ? "prompt" : visible(label)}
      </text>
    </g>
  );
}

export function GraphShape({ node: { token } }: { node: GraphNode }) {
  if (!token) return null;
  const r = radiusOf(token, SCALE);
  const acceptance = token.verdict?.acceptance_prob ?? null;
  const opacity = fillOpacity(token.status, acceptance);
  return (
    <>
      <circle className="tt-hit" r={Math.max(14, r + 4)} />
      <circle className="rg-ground" r={r + 2} />
      <circle className="tt-halo" r={r + 3.5} />
      <g className="tt-shape">
        {token.status === "rejected" && acceptance !== null && (
          <circle className="tt-disc" r={r} fillOpacity={opacity} />
        )}
        <path d={glyph(token.status, r)} fillOpacity={opacity} />
      </g>
      <text
        {...DECORATIVE}
        className="tt-label rg-label"
        y={r + SCALE.labelFont + 2}
        fontSize={SCALE.labelFont}
      >
        {visible(token.label)}
      </text>
    </>
  );
}
