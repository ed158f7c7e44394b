// Draft trees for tests of the layout.
import type { Node, RoundShape } from "./runs";

/** A wide draft: the first nodes have `fan` children each; the path of first children is accepted to depth `accepted`. */
export function bushy(count: number, fan: number, accepted: number): RoundShape {
  const parents = Array.from({ length: count }, (_, node) =>
    node < fan ? null : Math.floor(node / fan) - 1,
  );
  const statuses: Node["status"][] = [];
  parents.forEach((parent, node) => {
    const first = parents.indexOf(parent) === node;
    const depth = depthOf(parents, node);
    const above = parent === null ? "accepted" : statuses[parent];
    const onPath = above === "accepted" && first && depth < accepted;
    const tested = above === "accepted" && depth === accepted;
    statuses.push(onPath ? "accepted" : tested ? "rejected" : "discarded");
  });
  const nodes = parents.map((parent, node) => ({ parent, status: statuses[node] ?? "discarded" }));
  return { nodes, extra: accepted === 0 ? "resampled" : "bonus" };
}

function depthOf(parents: readonly (number | null)[], node: number): number {
  const parent = parents[node] ?? null;
  return parent === null ? 0 : 1 + depthOf(parents, parent);
}
