// The visible rows.
import type { Attention } from "../run/branches";
import type { Run } from "../run/model";
import type { Row } from "./geometry";
import type { Highlight } from "./highlight";
import { TreeRow } from "./TreeRow";
import type { View } from "./useView";

interface Props extends Highlight {
  readonly run: Run;
  readonly view: View;
  readonly id: string;
  /** The tokens that the token under the pointer attends to; null without one, or in a chain. */
  readonly attention: Attention | null;
}

export function Rows({ run, view, id, attention, hovered, selected, active }: Props) {
  const { layout, from, to } = view;
  const newest = run.phase === "running" ? (run.rounds.at(-1)?.index ?? 0) : Number.POSITIVE_INFINITY;
  return (
    <svg
      role="none"
      width={layout.width}
      height={view.height}
      className={`tt-svg is-${layout.scale.detail}${attention ? " is-attending" : ""}`}
    >
      {layout.rows.map((row, index) => {
        const top = layout.tops[index] ?? 0;
        if (top + row.height < from || top > to) return null;
        const mine = (key: string | null) => (key !== null && layout.rowOf.get(key) === index ? key : null);
        return (
          <TreeRow
            // biome-ignore lint/suspicious/noArrayIndexKey: a row is its index
            key={index}
            row={row}
            top={top}
            scale={layout.scale}
            id={id}
            showSources={run.sources.length > 1}
            attention={attention && holds(row, attention.round) ? attention : null}
            later={attention !== null && !row.nodes.some((node) => node.token.round <= attention.round)}
            newFrom={holds(row, newest) ? newest : Number.POSITIVE_INFINITY}
            hovered={mine(hovered)}
            selected={mine(selected)}
            active={mine(active)}
          />
        );
      })}
    </svg>
  );
}

function holds(row: Row, round: number): boolean {
  return row.nodes.some((node) => node.token.round >= round);
}
