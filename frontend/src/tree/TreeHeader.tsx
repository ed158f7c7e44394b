// The header of the tree: its counts, its legend, and its view.
import { ArrowDownToLine, Maximize, Minus, Plus, Waypoints } from "lucide-react";
import { memo, type ReactNode } from "react";
import { FigureMenu } from "../ui/FigureMenu";
import { HelpGroup } from "../ui/HelpGroup";
import { plural } from "../words/format";
import { Encoding, Legend, LegendPopover, type LegendProps } from "./Legend";
import type { ViewMode } from "./useView";

interface Props {
  readonly rounds: number;
  readonly tokens: number;
  readonly legend: LegendProps;
  readonly mode: ViewMode;
  onMode(mode: ViewMode): void;
  onZoom(factor: number): void;
  /** Whether one round is shown as a graph. */
  readonly graph: boolean;
  onGraph(on: boolean): void;
  /** While the figure is saved, the tokens are SVG elements. */
  onSaving(saving: boolean): void;
}

export const TreeHeader = memo(function TreeHeader(props: Props) {
  const { rounds, tokens, legend, mode, onMode, onZoom, graph, onGraph, onSaving } = props;
  const toggle = (wanted: ViewMode) => onMode(mode === wanted ? "still" : wanted);
  return (
    <HelpGroup>
      <header className="tt-header">
        <h2>Token tree</h2>
        <p className="tt-count">
          {rounds > 0 && (
            <>
              <span>{plural(rounds, "round")}</span> <span>· {plural(tokens, "token")}</span>
            </>
          )}
        </p>
        <div className="tt-tools" data-figure-skip>
          <Tool label="Zoom out" onClick={() => onZoom(1 / 1.25)}>
            <Minus />
          </Tool>
          <Tool label="Zoom in" onClick={() => onZoom(1.25)}>
            <Plus />
          </Tool>
          <Tool label="Fit the whole run" pressed={mode === "fit"} onClick={() => toggle("fit")}>
            <Maximize />
          </Tool>
          <Tool label="Follow the newest round" pressed={mode === "follow"} onClick={() => toggle("follow")}>
            <ArrowDownToLine />
          </Tool>
          <Tool label="Show one round as a graph" pressed={graph} onClick={() => onGraph(!graph)}>
            <Waypoints />
          </Tool>
          {rounds > 0 && <FigureMenu title="Token tree" onSaving={onSaving} />}
          <LegendPopover {...legend} />
        </div>
        <div className="tt-legend">
          <Legend {...legend} />
        </div>
        <div className="tt-encoding">
          <Encoding compared={legend.compared} rule={legend.rule} />
        </div>
      </header>
    </HelpGroup>
  );
});

interface ToolProps {
  readonly label: string;
  readonly pressed?: boolean;
  readonly children: ReactNode;
  onClick(): void;
}

function Tool({ label, pressed, children, onClick }: ToolProps) {
  return (
    <button
      type="button"
      className="tt-tool"
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      onClick={onClick}
    >
      {children}
    </button>
  );
}
