// A draft tree and its attention mask, side by side.
import { scaleLinear } from "d3-scale";
import { attended, type TreeNode } from "../../theory/trees";

const SIDE = 300;
const EDGE = 16;
const LARGEST_CELL = 24;
/** Room for the numbers of rows and columns. */
const LABELS = 22;
/** Numbers of 12 px do not fit beside smaller cells. */
const NUMBERED_FROM = 13;

interface Props {
  readonly nodes: readonly TreeNode[];
  readonly depths: number;
  readonly chosen: number;
  readonly label: string;
  onChoose(id: number): void;
}

/** The height of each node: leaves are spread evenly, a parent is in the middle of its children. */
function heights(nodes: readonly TreeNode[], depths: number): number[] {
  const leaves = nodes.filter(({ depth }) => depth === depths - 1);
  const spread = scaleLinear([-0.5, leaves.length - 0.5], [0, SIDE]);
  const found: number[] = [];
  for (const [place, { id }] of leaves.entries()) found[id] = spread(place);
  for (const { id } of nodes.filter(({ depth }) => depth < depths - 1).toReversed()) {
    const children = nodes.filter(({ parent }) => parent === id).map((child) => found[child.id] ?? 0);
    found[id] = ((children[0] ?? 0) + (children.at(-1) ?? 0)) / 2;
  }
  return found;
}

export function TreePicture({ nodes, depths, chosen, label, onChoose }: Props) {
  const path = new Set(attended(nodes, chosen));
  return (
    <div className="tree-pictures" role="img" aria-label={label}>
      <Branches nodes={nodes} depths={depths} path={path} onChoose={onChoose} />
      <Mask nodes={nodes} chosen={chosen} onChoose={onChoose} />
    </div>
  );
}

interface BranchesProps {
  readonly nodes: readonly TreeNode[];
  readonly depths: number;
  readonly path: ReadonlySet<number>;
  onChoose(id: number): void;
}

function Branches({ nodes, depths, path, onChoose }: BranchesProps) {
  const y = heights(nodes, depths);
  const x = scaleLinear([-1, depths - 1], [EDGE, SIDE - EDGE]);
  const radius = nodes.length > 20 ? 5 : 9;
  return (
    <svg viewBox={`0 0 ${SIDE} ${SIDE}`} aria-hidden>
      {nodes.map(({ id, parent, depth }) => (
        <line
          key={id}
          className="tree-branch"
          data-lit={path.has(id) || undefined}
          x1={x(depth - 1)}
          y1={parent === null ? SIDE / 2 : y[parent]}
          x2={x(depth)}
          y2={y[id]}
        />
      ))}
      <rect className="tree-text" x={0} y={SIDE / 2 - 12} width={2 * EDGE} height={24} />
      <text x={EDGE} y={SIDE / 2 + 4} textAnchor="middle">
        text
      </text>
      {nodes.map(({ id, depth }) => (
        <g
          key={id}
          className="tree-token"
          data-lit={path.has(id) || undefined}
          onPointerDown={() => onChoose(id)}
        >
          <circle cx={x(depth)} cy={y[id]} r={radius} />
          {radius > 5 && (
            <text x={x(depth)} y={(y[id] ?? 0) + 4} textAnchor="middle">
              {id + 1}
            </text>
          )}
        </g>
      ))}
    </svg>
  );
}

/** A row for each token and a column for what it attends to; the first column is the text, which all attend to. */
function Mask({ nodes, chosen, onChoose }: Pick<Props, "nodes" | "chosen" | "onChoose">) {
  const cell = Math.min(LARGEST_CELL, (SIDE - LABELS) / (nodes.length + 1));
  const numbered = (id: number) => cell >= NUMBERED_FROM || id === chosen;
  const middle = (place: number) => LABELS + (place + 0.5) * cell;
  return (
    <svg viewBox={`0 0 ${SIDE} ${SIDE}`} aria-hidden>
      <text x={LABELS + cell - 1} y={LABELS - 6} textAnchor="end">
        text
      </text>
      {nodes.map(({ id }) => {
        const path = attended(nodes, id);
        return (
          <g
            key={id}
            className="mask-row"
            data-lit={id === chosen || undefined}
            onPointerDown={() => onChoose(id)}
          >
            {numbered(id) && (
              <>
                <text x={LABELS - 6} y={middle(id) + 4} textAnchor="end">
                  {id + 1}
                </text>
                <text x={middle(id + 1)} y={LABELS - 6} textAnchor="middle">
                  {id + 1}
                </text>
              </>
            )}
            <rect
              className="mask-line"
              x={LABELS}
              y={LABELS + id * cell}
              width={(nodes.length + 1) * cell}
              height={cell}
            />
            {[-1, ...path].map((column) => (
              <rect
                key={column}
                className="mask-cell"
                x={LABELS + (column + 1) * cell + 0.5}
                y={LABELS + id * cell + 0.5}
                width={cell - 1}
                height={cell - 1}
              />
            ))}
          </g>
        );
      })}
    </svg>
  );
}
