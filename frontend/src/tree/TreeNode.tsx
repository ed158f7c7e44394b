// One token of the tree: the shape of its status, its label, and its drafter.
import type { Token } from "../run/model";
import { SourceMark } from "../ui/SourceMark";
import { describeToken } from "./describe";
import { type LayoutNode, MARK_GAP } from "./geometry";
import { fillOpacity, glyph } from "./glyph";
import type { Highlight } from "./highlight";
import { hitBox } from "./hit";
import type { Scale } from "./scale";

/** The label of the node contains this text. */
const DECORATIVE = { "aria-hidden": true } as const;

interface Props extends Highlight {
  readonly node: LayoutNode;
  readonly scale: Scale;
  readonly id: string;
  readonly isNew: boolean;
  readonly showSources: boolean;
  /** Whether the token under the pointer attends to it; null if that does not apply. */
  readonly attended: boolean | null;
}

export function TreeNode({
  node,
  scale,
  id,
  isNew,
  showSources,
  attended,
  hovered,
  selected,
  active,
}: Props) {
  const { token, siblingInfo, r } = node;
  const isLit = hovered === token.key || active === token.key;
  const isSelected = selected === token.key;
  const isMarked = isLit || isSelected || attended === true;
  const names = [
    "tt-node",
    `is-${token.status}`,
    node.lane > 0 && "is-below",
    isNew && "is-new",
    isLit && "is-lit",
    isSelected && "is-selected",
    attended === true && "is-attended",
    attended === false && "is-unattended",
  ];
  const hasSiblings = siblingInfo && siblingInfo.count > 1 && siblingInfo.number > 0;
  return (
    <g
      className={names.filter(Boolean).join(" ")}
      style={{ transform: `translate(${node.x}px, ${node.y}px)` }}
    >
      <g
        role="treeitem"
        id={`${id}${token.key}`}
        aria-level={node.level}
        aria-posinset={hasSiblings ? siblingInfo.number : undefined}
        aria-setsize={hasSiblings ? siblingInfo.count : undefined}
        aria-selected={selected === token.key}
        aria-label={describeToken(token, siblingInfo, showSources)}
        data-key={token.key}
        data-status={token.status}
      >
        <HitArea node={node} scale={scale} />
        {isMarked && <circle className="tt-halo" r={r + 3.5} />}
        <Shape token={token} r={r} />
      </g>
      <Label node={node} scale={scale} />
      {showSources && node.sourceChanges && scale.detail === "full" && token.draft && (
        <SourceMark
          source={token.draft.source}
          x={node.lane === 0 ? 0 : node.left - node.x - MARK_GAP}
          y={node.lane === 0 ? -r - MARK_GAP : 0}
        />
      )}
    </g>
  );
}

function HitArea({ node, scale }: { node: LayoutNode; scale: Scale }) {
  const [left, top, right, bottom] = hitBox(node, scale);
  return (
    <rect className="tt-hit" x={left - node.x} y={top - node.y} width={right - left} height={bottom - top} />
  );
}

/** Below a node of the spine, at the right of one on a branch. */
function Label({ node, scale }: { node: LayoutNode; scale: Scale }) {
  if (node.label === null) return null;
  const beside = node.lane > 0;
  return (
    <text
      {...DECORATIVE}
      className={beside ? "tt-label is-beside" : "tt-label"}
      x={beside ? node.r + scale.besideGap : undefined}
      y={beside ? scale.labelFont * 0.36 : scale.labelDrop}
      fontSize={scale.labelFont}
      xmlSpace="preserve"
    >
      {node.label}
    </text>
  );
}

function Shape({ token, r }: { token: Token; r: number }) {
  const acceptance = token.verdict?.acceptance_prob ?? null;
  const opacity = fillOpacity(token.status, acceptance);
  return (
    <g className="tt-shape">
      {token.status === "rejected" && acceptance !== null && (
        <circle className="tt-disc" r={r} fillOpacity={opacity} />
      )}
      <path d={glyph(token.status, r)} fillOpacity={opacity} />
    </g>
  );
}
