// The token tree: the committed text along a spine, with the branches that were not accepted below it.
import {
  type KeyboardEvent,
  lazy,
  type MouseEvent,
  type RefObject,
  useCallback,
  useEffect,
  useId,
  useMemo,
  useRef,
  useState,
} from "react";
import { flushSync } from "react-dom";
import { attentionOf } from "../run/branches";
import type { Run } from "../run/model";
import { emittedCount } from "../run/selectors";
import { OnDemand } from "../ui/OnDemand";
import { useSize } from "../ui/useSize";
import { attentionWords } from "../words/attention";
import { waitingFor } from "../words/waiting";
import { rowOf } from "./find";
import type { Layout } from "./geometry";
import { headerAt, keyAt } from "./hit";
import type { LegendProps } from "./Legend";
import { NodeTooltip } from "./NodeTooltip";
import { nodeAt, type Step, step } from "./navigate";
import { roundSummary } from "./RoundHeader";
import { Rows } from "./Rows";
import { canPaint, TreeCanvas } from "./TreeCanvas";
import { TreeHeader } from "./TreeHeader";
import { useView, type View } from "./useView";
import "./tree.css";
import "./nodes.css";
import "./attention.css";

/** Loads when one round is first shown as a graph. */
const RoundGraph = lazy(() => import("./RoundGraph").then((module) => ({ default: module.RoundGraph })));

interface Props {
  readonly run: Run;
  readonly hovered: string | null;
  readonly selected: string | null;
  /** Whether new tokens appear with an animation: not in real time, where they would come too fast to be followed. */
  readonly animated?: boolean;
  /** Whether a round is under way. */
  readonly flowing?: boolean;
  /** Whether rounds can come faster than SVG elements can be laid out: then a canvas shows them. */
  readonly rapid?: boolean;
  onHover(key: string | null): void;
  onSelect(key: string | null): void;
}

const STEPS: Record<string, Step> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  Home: "first",
  End: "last",
};
const START_ZOOM = 1;
const ZOOM_STEP = 1.25;
/** From this width on, tooltips are at the right of a token. */
const WIDE_FROM = 640;
const UNMEASURED = { width: 780, height: 520 };

export function TokenTree(props: Props) {
  const { run, hovered, selected, animated = false, flowing = false, rapid = false } = props;
  const { onHover, onSelect } = props;
  const ref = useRef<HTMLDivElement | null>(null);
  const size = useShownSize(ref);
  const view = useView(ref, run, size, START_ZOOM);
  const id = useId();
  const [active, setActive] = useState<string | null>(null);
  const [graph, setGraph] = useState(false);
  const [saving, setSaving] = useState(false);
  const [pointed, setPointed] = useState<string | null>(null);
  /** The words about the round whose header the pointer is on, on a canvas. */
  const [header, setHeader] = useState<string | null>(null);
  const { layout, reveal } = view;
  // The keyboard moves between elements, which a screen reader reads, and a saved figure consists of elements.
  const painted = rapid && !graph && !saving && active === null && run.rounds.length > 0 && canPaint();

  useEffect(() => {
    if (selected) reveal(selected);
  }, [selected, reveal]);

  /** The elements are there when this returns. */
  const saveElements = useCallback((on: boolean) => flushSync(() => setSaving(on)), []);
  const point = (key: string | null) => {
    if (key === pointed) return;
    setPointed(key);
    onHover(key);
  };
  const activate = (key: string | null) => {
    setActive(key);
    onHover(key);
    if (key) reveal(key);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const direction = STEPS[event.key];
    if (direction) activate(step(layout, active ?? selected, direction));
    else if ((event.key === "Enter" || event.key === " ") && active) onSelect(active);
    else if (event.key === "Escape" && selected) onSelect(null);
    else if (!zoomKey(event.key, view)) return;
    event.preventDefault();
  };
  const keyUnder = (event: MouseEvent) => (painted ? keyOnCanvas(ref.current, layout, event) : keyOf(event));
  const onClick = (event: MouseEvent) => {
    const key = keyUnder(event);
    setActive(null);
    if (key && layout.scale.detail === "bars") view.zoomTo(START_ZOOM, key);
    else onSelect(key === selected ? null : key);
  };

  const tooltip = tooltipOf(layout, pointed ?? active);
  const attention = useMemo(() => attentionOf(run, active ?? hovered), [run, active, hovered]);
  const shownAttention = layout.scale.detail === "bars" ? null : attention;
  const shown = { run, view, attention: shownAttention, flowing, hovered, selected, active };
  return (
    <section className="tt" aria-label="Token tree" data-figure>
      <TreeHeader
        rounds={run.rounds.length}
        tokens={emittedCount(run)}
        legend={useLegendProps(run)}
        mode={view.mode}
        onMode={view.setMode}
        onZoom={view.zoomBy}
        graph={graph}
        onGraph={setGraph}
        onSaving={saveElements}
      />
      {graph && (
        <OnDemand>
          <RoundGraph
            run={run}
            flowing={flowing}
            hovered={hovered}
            selected={selected}
            onHover={onHover}
            onSelect={onSelect}
          />
        </OnDemand>
      )}
      {/* biome-ignore lint/a11y: a tree must have items, so an empty one is a group */}
      <div
        ref={ref}
        className="tt-view"
        hidden={graph}
        role={run.rounds.length > 0 ? "tree" : "group"}
        tabIndex={0}
        aria-label="Tokens: left and right move along a path, up and down between siblings, Enter selects"
        aria-activedescendant={elementId(layout, id, active)}
        onKeyDown={onKeyDown}
        onBlur={() => activate(null)}
        title={pointed === null ? (header ?? undefined) : undefined}
        onPointerMove={(event) => {
          point(keyUnder(event));
          setHeader(painted ? headerOnCanvas(ref.current, layout, event) : null);
        }}
        onPointerLeave={() => point(null)}
        onClick={onClick}
      >
        {graph ? null : painted ? <TreeCanvas {...shown} /> : <Rows {...shown} id={id} animated={animated} />}
        {tooltip && <NodeTooltip key={tooltip.token.key} {...tooltip} wide={size.width >= WIDE_FROM} />}
        {run.rounds.length === 0 && <Empty run={run} />}
      </div>
      {shownAttention && <p className="tt-caption">{attentionWords(shownAttention)}</p>}
    </section>
  );
}

/** The size of the view; while it is hidden, the one before. */
function useShownSize(ref: RefObject<HTMLElement | null>): { width: number; height: number } {
  const measured = useSize(ref);
  const shown = useRef(UNMEASURED);
  if (measured && measured.width > 0) shown.current = measured;
  return shown.current;
}

function useLegendProps({ started, rounds, sources, latest }: Run): LegendProps {
  const remote = started?.remote != null;
  const compared = rounds[0]?.drafted[0]?.compared === true;
  const rule = started?.rule ?? "token";
  const plain = (latest?.plain ?? 0) > 0;
  const received = started?.watched != null;
  return useMemo(
    () => ({ remote, compared, rule, plain, received, sources }),
    [remote, compared, rule, plain, received, sources],
  );
}

function Empty({ run }: { run: Run }) {
  return (
    <p className="tt-empty">
      {waitingFor(run) ??
        "The rounds of a run appear here: drafted tokens, accepted tokens, and the branches that were not accepted."}
    </p>
  );
}

function zoomKey(key: string, view: View): boolean {
  if (key === "+" || key === "=") view.zoomBy(ZOOM_STEP);
  else if (key === "-") view.zoomBy(1 / ZOOM_STEP);
  else if (key === "0") view.zoomTo(START_ZOOM);
  else return false;
  return true;
}

function keyOf(event: { target: EventTarget }): string | null {
  const element = event.target instanceof Element ? event.target.closest("[data-key]") : null;
  return element?.getAttribute("data-key") ?? null;
}

/** Where the pointer is in the layout. */
function placeOf(element: HTMLElement | null, event: MouseEvent): readonly [x: number, y: number] {
  const box = element?.getBoundingClientRect();
  return [event.clientX - (box?.left ?? 0), event.clientY - (box?.top ?? 0) + (element?.scrollTop ?? 0)];
}

const keyOnCanvas = (element: HTMLElement | null, layout: Layout, event: MouseEvent): string | null =>
  keyAt(layout, ...placeOf(element, event));

function headerOnCanvas(element: HTMLElement | null, layout: Layout, event: MouseEvent): string | null {
  const segment = headerAt(layout, ...placeOf(element, event));
  return segment && roundSummary(segment.round);
}

/** The element id of the active token, or of the bar of its round. */
function elementId(layout: Layout, id: string, key: string | null): string | undefined {
  if (key === null || rowOf(layout, key) === null) return undefined;
  return layout.scale.detail === "bars" ? `${id}round-${Number.parseInt(key, 10)}` : `${id}${key}`;
}

function tooltipOf(layout: Layout, key: string | null) {
  const found = key === null ? null : nodeAt(layout, key);
  if (!found) return null;
  const { node, row } = found;
  const y = (layout.tops[row] ?? 0) + node.y;
  return {
    token: node.token,
    siblingInfo: node.siblingInfo,
    x: node.x,
    y,
    room: node.r + 2,
    end: node.right,
  };
}
