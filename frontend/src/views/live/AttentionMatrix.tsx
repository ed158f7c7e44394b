// Tree attention: which drafted tokens (rows) attend to which (columns) in the pass that verifies the draft.
import { useMemo } from "react";
import { isTree, pathTo } from "../../run/branches";
import type { Round, Token } from "../../run/model";
import { FigureMenu } from "../../ui/FigureMenu";
import { HelpTooltip } from "../../ui/HelpTooltip";
import { shown } from "../../words/format";

const HELP =
  "Each row is a drafted token, each column a token that it may attend to. The first column is the whole text so far. A token attends to its own path and not to its siblings, so one pass verifies all branches.";
const WIDEST = 300;
const LARGEST_CELL = 13;
/** Gap after the column of the text. */
const TEXT_GAP = 3;
const LABELS_FROM = 10;
const LABEL_WIDTH = 92;

interface Grid {
  readonly cell: number;
  readonly left: number;
  readonly width: number;
  readonly height: number;
}

function gridOf(count: number): Grid {
  const labelled = Math.min(LARGEST_CELL, Math.floor((WIDEST - LABEL_WIDTH - TEXT_GAP) / (count + 1)));
  const left = labelled >= LABELS_FROM ? LABEL_WIDTH : 0;
  const room = WIDEST - left - TEXT_GAP;
  const cell = Math.max(3, Math.min(LARGEST_CELL, Math.floor(room / (count + 1))));
  return { cell, left, width: left + (count + 1) * cell + TEXT_GAP, height: count * cell };
}

export function AttentionMatrix({ round, token }: { round: Round; token: Token }) {
  const rows = useMemo(() => attentionRows(round), [round]);
  if (!isTree(round)) return null;
  const grid = gridOf(rows.length);
  const chosen = rows.findIndex((row) => row.token.key === token.key);
  const chosenRow = rows[chosen];
  const label = `Tree attention: ${rows.length} drafted tokens.${chosenRow ? ` This one, node ${chosen + 1}, attends to ${chosenRow.words}.` : ""}`;
  return (
    <section aria-label="Tree attention" className="matrix" data-figure>
      <header className="figure-head mb-1">
        <h3 className="text-[12px] font-medium text-soft">
          <HelpTooltip help={HELP}>Tree attention</HelpTooltip>
        </h3>
        <FigureMenu title="Tree attention" />
      </header>
      <svg
        role="img"
        aria-label={label}
        width={grid.width}
        height={grid.height}
        viewBox={`0 0 ${grid.width} ${grid.height}`}
        shapeRendering="crispEdges"
      >
        {chosen >= 0 && <Cross at={chosen} grid={grid} />}
        {rows.map((row, at) => (
          <Row key={row.token.key} row={row} at={at} grid={grid} chosen={at === chosen} />
        ))}
      </svg>
      <p className="text-[11px] text-faint">Rows attend to columns. The first column is the whole text.</p>
    </section>
  );
}

interface AttentionRow {
  readonly token: Token;
  /** Indices of the columns that the token attends to. */
  readonly columns: readonly number[];
  readonly words: string;
}

function attentionRows(round: Round): AttentionRow[] {
  const at = new Map(round.drafted.map(({ key }, index) => [key, index]));
  return round.drafted.map((token) => {
    const columns = pathTo(round, token).map(({ key }) => at.get(key) ?? 0);
    const nodes = columns.map((column) => column + 1).join(", ");
    return { token, columns, words: `the text and ${columns.length > 1 ? "nodes" : "node"} ${nodes}` };
  });
}

/** The chosen token's row and column. */
function Cross({ at, grid: { cell, left, width, height } }: { at: number; grid: Grid }) {
  const x = left + cell + TEXT_GAP + at * cell;
  return (
    <>
      <rect className="matrix-cross" x={left} y={at * cell} width={width - left} height={cell} />
      <rect className="matrix-cross" x={x} y={0} width={cell} height={height} />
    </>
  );
}

interface RowProps {
  readonly row: AttentionRow;
  readonly at: number;
  readonly grid: Grid;
  readonly chosen: boolean;
}

function Row({ row, at, grid: { cell, left, width }, chosen }: RowProps) {
  const { token, columns, words } = row;
  const side = cell - 1;
  const name = chosen ? "matrix-row is-chosen" : "matrix-row";
  return (
    <g className={name} data-status={token.status} transform={`translate(0, ${at * cell})`}>
      <title>{`${at + 1} ${shown(token.label)}: attends to ${words}`}</title>
      <rect className="matrix-hit" width={width} height={cell} />
      {left > 0 && (
        <text x={left - 6} y={cell - 3} fontSize={10}>
          {shorten(shown(token.label))}
        </text>
      )}
      <rect className="matrix-text" x={left} width={side} height={side} />
      {columns.map((column) => (
        <rect
          key={column}
          className={column === at ? "matrix-self" : "matrix-attended"}
          x={left + cell + TEXT_GAP + column * cell}
          width={side}
          height={side}
        />
      ))}
    </g>
  );
}

const shorten = (label: string): string => (label.length > 12 ? `${label.slice(0, 11)}…` : label);
