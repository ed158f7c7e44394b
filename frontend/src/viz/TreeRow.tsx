// One line of the river. Drawn again only when something in it changed.
import { memo } from "react";
import type { Token } from "../state/model";
import { describeToken } from "./describe";
import { fillOpacity, glyph } from "./glyph";
import type { Marks } from "./marks";
import type { PlacedEdge, PlacedNode, Row } from "./placed";
import { RoundBar } from "./RoundBar";
import { Segment } from "./Segment";
import type { Scale } from "./scale";

/** Said by the label of the node around it. */
const DRAWN = { "aria-hidden": true } as const;

interface Props extends Marks {
  readonly row: Row;
  readonly top: number;
  readonly scale: Scale;
  /** Prefix of the nodes' element ids. */
  readonly id: string;
  /** Rounds from this one on are new: they grow in. */
  readonly newFrom: number;
}

export const TreeRow = memo(function TreeRow({ row, top, scale, id, newFrom, ...marks }: Props) {
  return (
    <g className="tt-row" style={{ transform: `translate(0px, ${top}px)` }}>
      {row.segments.map((segment) => (
        <Segment key={segment.key} segment={segment} scale={scale} />
      ))}
      {row.edges.map((edge) => (
        <Edge key={edge.key} edge={edge} isNew={Number.parseInt(edge.to, 10) >= newFrom} />
      ))}
      {row.nodes.map((node) => (
        <Node
          key={node.token.key}
          node={node}
          scale={scale}
          id={id}
          isNew={node.token.round >= newFrom}
          {...marks}
        />
      ))}
      {row.bars.map((bar) => (
        <RoundBar key={bar.round.index} bar={bar} id={id} {...marks} />
      ))}
    </g>
  );
});

interface EdgeProps {
  readonly edge: PlacedEdge;
  readonly isNew: boolean;
}

const Edge = memo(function Edge({ edge, isNew }: EdgeProps) {
  return <path className={`tt-edge is-${edge.kind}${isNew ? " is-new" : ""}`} d={edge.path} />;
});

interface NodeProps extends Marks {
  readonly node: PlacedNode;
  readonly scale: Scale;
  readonly id: string;
  readonly isNew: boolean;
}

function Node({ node, scale, id, isNew, hovered, selected, active }: NodeProps) {
  const { token, r } = node;
  const lit = hovered === token.key || active === token.key;
  const names = [
    "tt-node",
    `is-${token.status}`,
    isNew && "is-new",
    lit && "is-lit",
    selected === token.key && "is-selected",
  ];
  const below = scale.detail === "full" ? scale.labelDrop + 4 : r + 3;
  return (
    <g
      className={names.filter(Boolean).join(" ")}
      style={{ transform: `translate(${node.x}px, ${node.y}px)` }}
    >
      <g
        role="treeitem"
        id={`${id}${token.key}`}
        aria-level={node.lane + 1}
        aria-selected={selected === token.key}
        aria-label={describeToken(token)}
        data-key={token.key}
        data-status={token.status}
      >
        <rect
          className="tt-hit"
          x={node.left - node.x}
          y={-scale.radiusMax}
          width={node.right - node.left}
          height={scale.radiusMax + below}
        />
        <circle className="tt-halo" r={r + 3.5} />
        <Shape token={token} r={r} />
      </g>
      {node.label !== null && (
        <text
          {...DRAWN}
          className="tt-label"
          y={scale.labelDrop}
          fontSize={scale.labelFont}
          xmlSpace="preserve"
        >
          {node.label}
        </text>
      )}
    </g>
  );
}

function Shape({ token, r }: { token: Token; r: number }) {
  const chance = token.verdict?.acceptance_prob ?? null;
  const opacity = fillOpacity(token.status, chance);
  return (
    <g className="tt-shape">
      {token.status === "rejected" && chance !== null && (
        <circle className="tt-disc" r={r} fillOpacity={opacity} />
      )}
      <path d={glyph(token.status, r)} fillOpacity={opacity} />
    </g>
  );
}
