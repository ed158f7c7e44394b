// Made-up trees for tests of the drawing; nothing on the page imports this.
import type { Node, RoundShape } from "./runs";

/** A draft of many branches: `fan` children below each of the first nodes; the first child's path is kept `kept` deep. */
export function bushy(count: number, fan: number, kept: number): RoundShape {
  const parents = Array.from({ length: count }, (_, node) =>
    node < fan ? null : Math.floor(node / fan) - 1,
  );
  const statuses: Node["status"][] = [];
  parents.forEach((parent, node) => {
    const first = parents.indexOf(parent) === node;
    const depth = depthOf(parents, node);
    const above = parent === null ? "accepted" : statuses[parent];
    const onPath = above === "accepted" && first && depth < kept;
    const tested = above === "accepted" && depth === kept;
    statuses.push(onPath ? "accepted" : tested ? "rejected" : "discarded");
  });
  const nodes = parents.map((parent, node) => ({ parent, status: statuses[node] ?? "discarded" }));
  return { nodes, extra: kept === 0 ? "resampled" : "bonus" };
}

function depthOf(parents: readonly (number | null)[], node: number): number {
  const parent = parents[node] ?? null;
  return parent === null ? 0 : 1 + depthOf(parents, parent);
}
