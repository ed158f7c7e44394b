// One round as a force-directed graph. Tokens can be dragged; the arrow keys move along paths and between siblings.
import { ChevronLeft, ChevronRight } from "lucide-react";
import { useState } from "react";
import type { Run } from "../run/model";
import { marksSources } from "../words/sources";
import { RoundPicture } from "./RoundPicture";
import "./round-graph.css";

interface Props {
  readonly run: Run;
  readonly flowing: boolean;
  readonly hovered: string | null;
  readonly selected: string | null;
  onHover(key: string | null): void;
  onSelect(key: string | null): void;
}

/** The round of the selected token, or else the newest one, until another is chosen. */
export function RoundGraph({ run, selected, ...props }: Props) {
  const [chosen, setChosen] = useState<number | null>(null);
  const wanted = chosen ?? (selected === null ? null : Number.parseInt(selected, 10));
  const found = wanted === null ? -1 : run.rounds.findIndex(({ index }) => index === wanted);
  const at = found < 0 ? run.rounds.length - 1 : found;
  const round = run.rounds[at];
  if (!round) return <p className="tt-empty">A round appears here as a graph once one has begun.</p>;
  const before = run.rounds[at - 1]?.emitted.at(-1)?.label ?? null;
  const go = (to: number) => setChosen(run.rounds[to]?.index ?? null);
  return (
    <div className="rg">
      <div className="rg-head">
        <button
          type="button"
          className="tt-tool"
          aria-label="Previous round"
          disabled={at === 0}
          onClick={() => go(at - 1)}
        >
          <ChevronLeft />
        </button>
        <span className="figures">
          round {round.index + 1} of {run.rounds.length}
        </span>
        <button
          type="button"
          className="tt-tool"
          aria-label="Next round"
          disabled={at === run.rounds.length - 1}
          onClick={() => go(at + 1)}
        >
          <ChevronRight />
        </button>
        {chosen !== null && (
          <button type="button" className="rg-newest" onClick={() => setChosen(null)}>
            {selected === null ? "newest" : "selected"}
          </button>
        )}
      </div>
      <RoundPicture
        round={round}
        before={before}
        showSources={marksSources(run.sources)}
        selected={selected}
        {...props}
      />
    </div>
  );
}
