// One row of the tree. It renders again only when something in it changed; a picture of its own for each row keeps the
// browser from laying out and painting the others then.
import { memo } from "react";
import type { Attention } from "../run/branches";
import { sourceOf } from "../words/sources";
import { joinedEdges, type LayoutEdge, type Row } from "./geometry";
import { attended, type Highlight } from "./highlight";
import { RoundBar } from "./RoundBar";
import { RoundHeader } from "./RoundHeader";
import type { Scale } from "./scale";
import { TreeNode } from "./TreeNode";

interface Props extends Highlight {
  readonly row: Row;
  readonly top: number;
  readonly width: number;
  readonly scale: Scale;
  /** Prefix of the nodes' element ids. */
  readonly id: string;
  /** Rounds from this one on are new and appear with an animation. */
  readonly newFrom: number;
  /** Whether the run has several drafters, so that each token shows its own. */
  readonly showSources: boolean;
  /** The tokens that a token of this row attends to. */
  readonly attention: Attention | null;
  /** Whether the row comes after the attended round, so that it is dimmed. */
  readonly later: boolean;
}

export const TreeRow = memo(function TreeRow(props: Props) {
  const { row, top, width, scale, id, newFrom, showSources, attention, later, ...highlight } = props;
  return (
    <svg
      role="none"
      className={later ? "tt-row is-later" : "tt-row"}
      width={width}
      height={row.height + scale.rowGap}
      style={{ top }}
    >
      {row.segments.map((segment) => (
        <RoundHeader
          key={segment.key}
          segment={segment}
          scale={scale}
          later={attention !== null && segment.round.index > attention.round}
        />
      ))}
      {attention === null && !showSources ? (
        <JoinedEdges edges={row.edges} />
      ) : (
        row.edges.map((edge) => (
          <Edge
            key={edge.key}
            edge={edge}
            showSources={showSources}
            attended={attended(attention, edge.to)}
          />
        ))
      )}
      {row.nodes.map((node) => (
        <TreeNode
          key={node.token.key}
          node={node}
          scale={scale}
          id={id}
          isNew={node.token.round >= newFrom}
          showSources={showSources}
          attended={attended(attention, node.token.key)}
          {...highlight}
        />
      ))}
      {row.bars.map((bar) => (
        <RoundBar key={bar.round.index} bar={bar} id={id} {...highlight} />
      ))}
    </svg>
  );
});

/** Edges that nothing tells apart, as one path per kind: a row has dozens of them. */
const JoinedEdges = memo(function JoinedEdges({ edges }: { edges: readonly LayoutEdge[] }) {
  return joinedEdges(edges).map(({ kind, path }) => (
    <path key={kind} className={`tt-edge is-${kind}`} d={path} />
  ));
});

interface EdgeProps {
  readonly edge: LayoutEdge;
  readonly showSources: boolean;
  readonly attended: boolean | null;
}

const Edge = memo(function Edge({ edge, showSources, attended: isAttended }: EdgeProps) {
  const names = [
    "tt-edge",
    `is-${edge.kind}`,
    isAttended === true && "is-attended",
    isAttended === false && "is-unattended",
  ];
  const colour = showSources && edge.source !== null ? sourceOf(edge.source).colour : undefined;
  return (
    <path
      className={names.filter(Boolean).join(" ")}
      style={colour === undefined ? undefined : { stroke: colour }}
      d={edge.path}
    />
  );
});
