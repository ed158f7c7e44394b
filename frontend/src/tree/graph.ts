// One round as a graph: the last committed token, the drafted tokens after it, and the token after the accepted path.
import { type SiblingInfo, siblingInfoOf } from "../run/branches";
import type { Round, Token } from "../run/model";
import type { EdgeKind } from "./geometry";

/** The key of the committed token before the round. */
export const ROOT_KEY = "root";

export interface GraphNode {
  readonly key: string;
  /** Null for the committed token before the round. */
  readonly token: Token | null;
  readonly siblingInfo: SiblingInfo | null;
  /** Edges from the root. */
  readonly depth: number;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly kind: EdgeKind;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

export function graphOf(round: Round): Graph {
  const extra = round.emitted.filter(({ node }) => node === null);
  const tokens = [...round.drafted, ...extra];
  const keys = new Map(round.drafted.map(({ node, key }) => [node, key]));
  const nodes: GraphNode[] = [{ key: ROOT_KEY, token: null, siblingInfo: null, depth: 0 }];
  for (const token of tokens)
    nodes.push({
      key: token.key,
      token,
      siblingInfo: siblingInfoOf(round, token),
      depth: token.position + 1,
    });
  const parentOf = ({ parent }: Token) => (parent === null ? ROOT_KEY : (keys.get(parent) ?? ROOT_KEY));
  const edges = tokens.map((token) => ({ from: parentOf(token), to: token.key, kind: kindOf(token) }));
  return { nodes, edges };
}

function kindOf({ status }: Token): EdgeKind {
  if (status === "pending") return "waiting";
  if (status === "rejected") return "rejected";
  return status === "discarded" ? "tail" : "spine";
}

export type GraphStep = "left" | "right" | "up" | "down" | "first" | "last";

/** The key of the next token: left and right along a path, up and down between siblings; the same at an end. */
export function stepInGraph({ nodes, edges }: Graph, from: string | null, step: GraphStep): string | null {
  const keys = nodes.flatMap(({ key, token }) => (token ? [key] : []));
  if (from === null || step === "first") return keys[0] ?? null;
  if (step === "last") return keys.at(-1) ?? null;
  const parent = edges.find(({ to }) => to === from)?.from;
  if (step === "left") return parent === undefined || parent === ROOT_KEY ? from : parent;
  if (step === "right") return edges.find((edge) => edge.from === from)?.to ?? from;
  const siblings = edges.filter((edge) => edge.from === parent).map(({ to }) => to);
  return siblings[siblings.indexOf(from) + (step === "down" ? 1 : -1)] ?? from;
}
