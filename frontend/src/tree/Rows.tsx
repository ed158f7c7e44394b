// The visible rows.
import type { Attention } from "../run/branches";
import type { Run } from "../run/model";
import { marksSources } from "../words/sources";
import { rowOf } from "./find";
import type { Row } from "./geometry";
import type { Highlight } from "./highlight";
import { rowsBetween } from "./rowPainter";
import { TreeRow } from "./TreeRow";
import type { View } from "./useView";

interface Props extends Highlight {
  readonly run: Run;
  readonly view: View;
  readonly id: string;
  /** The tokens that the token under the pointer attends to; null without one, or in a chain. */
  readonly attention: Attention | null;
  /** Whether new tokens appear with an animation. */
  readonly animated: boolean;
  /** Whether a round is under way, so that the edges to its pending tokens move. */
  readonly flowing: boolean;
}

export function Rows({ run, view, id, attention, animated, flowing, ...highlight }: Props) {
  const { layout, from, to } = view;
  const { rows, tops } = layout;
  const isNew = animated && run.phase === "running";
  const newest = isNew ? (run.rounds.at(-1)?.index ?? 0) : Number.POSITIVE_INFINITY;
  const [hovered, selected, active] = [highlight.hovered, highlight.selected, highlight.active].map(
    (key) => ({
      key,
      row: rowOf(layout, key),
    }),
  );
  const [first, last] = rowsBetween(layout, from, to);
  const names = ["tt-paper", `is-${layout.scale.detail}`, attention && "is-attending"];
  if (animated) names.push("is-animated");
  if (flowing) names.push("is-flowing");
  return (
    <div
      role="none"
      className={names.filter(Boolean).join(" ")}
      style={{ width: layout.width, height: view.height }}
    >
      {rows.slice(first, last).map((row, at) => {
        const index = first + at;
        const mine = (mark: typeof hovered) => (mark?.row === index ? mark.key : null);
        return (
          <TreeRow
            key={index}
            row={row}
            top={tops[index] ?? 0}
            width={layout.width}
            scale={layout.scale}
            id={id}
            showSources={marksSources(run.sources)}
            attention={attention && holds(row, attention.round) ? attention : null}
            later={attention !== null && !row.nodes.some((node) => node.token.round <= attention.round)}
            newFrom={holds(row, newest) ? newest : Number.POSITIVE_INFINITY}
            hovered={mine(hovered)}
            selected={mine(selected)}
            active={mine(active)}
          />
        );
      })}
    </div>
  );
}

function holds(row: Row, round: number): boolean {
  return row.nodes.some((node) => node.token.round >= round);
}
