// One line of the river. Drawn again only when something in it changed.
import { memo } from "react";
import type { Attention } from "../run/branches";
import { sourceOf } from "../words/sources";
import type { LayoutEdge, Row } from "./geometry";
import type { Highlight } from "./highlight";
import { RoundBar } from "./RoundBar";
import { RoundHeader } from "./RoundHeader";
import type { Scale } from "./scale";
import { TreeNode } from "./TreeNode";

interface Props extends Highlight {
  readonly row: Row;
  readonly top: number;
  readonly scale: Scale;
  /** Prefix of the nodes' element ids. */
  readonly id: string;
  /** Rounds from this one on are new: they grow in. */
  readonly newFrom: number;
  /** Whether several sources draft in this run, so that each is told. */
  readonly showSources: boolean;
  /** What a token of this line attends to. */
  readonly attention: Attention | null;
  /** Whether the line came after what is attended to. */
  readonly later: boolean;
}

export const TreeRow = memo(function TreeRow(props: Props) {
  const { row, top, scale, id, newFrom, showSources, attention, later, ...highlight } = props;
  return (
    <g className={later ? "tt-row is-later" : "tt-row"} style={{ transform: `translate(0px, ${top}px)` }}>
      {row.segments.map((segment) => (
        <RoundHeader
          key={segment.key}
          segment={segment}
          scale={scale}
          later={attention !== null && segment.round.index > attention.round}
        />
      ))}
      {row.edges.map((edge) => (
        <Edge
          key={edge.key}
          edge={edge}
          isNew={Number.parseInt(edge.to, 10) >= newFrom}
          showSources={showSources}
          attended={attended(attention, edge.to)}
        />
      ))}
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
    </g>
  );
});

/** The committed text before the round is attended to as a whole: true of what was drafted, null of that text. */
function attended(attention: Attention | null, key: string): boolean | null {
  if (!attention) return null;
  if (attention.keys.has(key)) return true;
  return Number.parseInt(key, 10) < attention.round ? null : false;
}

interface EdgeProps {
  readonly edge: LayoutEdge;
  readonly isNew: boolean;
  readonly showSources: boolean;
  readonly attended: boolean | null;
}

const Edge = memo(function Edge({ edge, isNew, showSources, attended: seen }: EdgeProps) {
  const names = [
    "tt-edge",
    `is-${edge.kind}`,
    isNew && "is-new",
    seen === true && "is-attended",
    seen === false && "is-unseen",
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
