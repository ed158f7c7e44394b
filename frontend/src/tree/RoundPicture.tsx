// The picture of one round as a graph: forces, pointer and keyboard.
import { type KeyboardEvent, useId, useMemo, useRef, useState } from "react";
import type { Round } from "../run/model";
import { useSize } from "../ui/useSize";
import { describeRound, describeToken } from "./describe";
import { GraphEdges, GraphRoot, GraphShape } from "./GraphShapes";
import { type GraphNode, type GraphStep, graphOf, stepInGraph } from "./graph";
import { NodeTooltip } from "./NodeTooltip";
import { useDrag } from "./useDrag";
import { useForces } from "./useForces";

const STEPS: Readonly<Record<string, GraphStep>> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  Home: "first",
  End: "last",
};
const UNMEASURED = { width: 780, height: 420 };
const WIDE_FROM = 640;

interface Props {
  readonly round: Round;
  /** The label of the committed token before the round; null after the prompt. */
  readonly before: string | null;
  readonly showSources: boolean;
  readonly flowing: boolean;
  readonly hovered: string | null;
  readonly selected: string | null;
  onHover(key: string | null): void;
  onSelect(key: string | null): void;
}

export function RoundPicture(props: Props) {
  const { round, before, showSources, flowing, hovered, selected, onHover, onSelect } = props;
  const box = useRef<HTMLDivElement>(null);
  const size = useSize(box) ?? UNMEASURED;
  const id = useId();
  const graph = useMemo(() => graphOf(round), [round]);
  const { places, hold } = useForces(graph, size.width, size.height);
  const [active, setActive] = useState<string | null>(null);
  const [pointed, setPointed] = useState<string | null>(null);
  const drag = useDrag(box, hold);
  const point = (key: string | null) => {
    setPointed(key);
    onHover(key);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    if (step) {
      const next = stepInGraph(graph, active, step);
      setActive(next);
      onHover(next);
    } else if ((event.key === "Enter" || event.key === " ") && active) onSelect(active);
    else if (event.key === "Escape") onSelect(null);
    else return;
    event.preventDefault();
  };
  const shown = graph.nodes.find(({ key, token }) => token && key === (pointed ?? active));
  const place = shown && places.get(shown.key);
  const lit = [hovered, active, pointed];
  return (
    <div
      ref={box}
      className="rg-view"
      role="tree"
      tabIndex={0}
      aria-label={`${describeRound(round)}. Left and right move along a path, up and down between siblings, Enter selects`}
      aria-activedescendant={active === null ? undefined : `${id}${active}`}
      onKeyDown={onKeyDown}
      onBlur={() => {
        setActive(null);
        onHover(null);
      }}
      onPointerMove={drag.move}
      onPointerUp={drag.end}
      onPointerCancel={drag.end}
    >
      <svg role="none" width={size.width} height={size.height} className={flowing ? "is-flowing" : undefined}>
        <GraphEdges graph={graph} places={places} />
        {graph.nodes.map((node) => {
          const at = places.get(node.key);
          if (!at) return null;
          if (!node.token) return <GraphRoot key={node.key} at={at} label={before} />;
          return (
            <g
              key={node.key}
              className={names(node, lit.includes(node.key), selected === node.key)}
              transform={`translate(${at.x.toFixed(1)}, ${at.y.toFixed(1)})`}
              role="treeitem"
              id={`${id}${node.key}`}
              tabIndex={-1}
              aria-level={node.depth}
              aria-selected={selected === node.key}
              aria-label={describeToken(node.token, node.siblingInfo, showSources)}
              data-key={node.key}
              data-status={node.token.status}
              onPointerEnter={() => point(node.key)}
              onPointerLeave={() => point(null)}
              onPointerDown={(event) => drag.begin(node.key, event)}
              onClick={() => drag.moved() || onSelect(node.key === selected ? null : node.key)}
            >
              <GraphShape node={node} />
            </g>
          );
        })}
      </svg>
      {shown?.token && place && (
        <NodeTooltip
          key={shown.key}
          token={shown.token}
          siblingInfo={shown.siblingInfo}
          x={place.x}
          y={place.y}
          room={16}
          end={place.x + 16}
          wide={size.width >= WIDE_FROM}
        />
      )}
    </div>
  );
}

function names({ token }: GraphNode, lit: boolean, selected: boolean): string {
  return `tt-node is-${token?.status}${lit ? " is-lit" : ""}${selected ? " is-selected" : ""}`;
}
