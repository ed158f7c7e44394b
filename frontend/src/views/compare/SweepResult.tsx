// The result of a sweep, also while it runs: the measured points, the computed curve, and a table that opens each run.
import { useMemo } from "react";
import { goTo } from "../../app/places";
import { useSweep, useSweepStore } from "../../app/useRace";
import { useStore } from "../../app/useStore";
import type { Lane } from "../../run/race";
import {
  bestPoint,
  fitsFormula,
  measuredLanes,
  type SweepPoint,
  sweepPoints,
  sweptCosts,
} from "../../run/sweep";
import { computedSpeedup } from "../../theory/speedup";
import { Provenance } from "../../ui/provenance";
import { SavedFigure } from "../../ui/SavedFigure";
import { fixed, percent } from "../../words/format";
import { measuredTogether } from "../../words/provenance";
import { curveWords, lengthWords, speedupWords, sweepSummary, sweepTitle } from "../../words/sweep";
import { type CurvePoint, SweepChart } from "./SweepChart";

const NOTHING: readonly Lane[] = [];

/** The lanes that have ended: of the sweep under way, or of the last one. */
function useLanes(): { readonly lanes: readonly Lane[]; readonly done: boolean } {
  const running = useSweep((state) => state.running);
  const last = useSweep((state) => state.lanes);
  const under = useMemo(() => (running ? measuredLanes(running.lanes, running.runs) : NOTHING), [running]);
  return running ? { lanes: under, done: false } : { lanes: last, done: true };
}

/** The formula at the measured costs, at every depth with a measured pass; empty where it does not hold. */
function curveOf(lanes: readonly Lane[], points: readonly SweepPoint[]): CurvePoint[] {
  const costs = sweptCosts(lanes);
  if (!costs || !fitsFormula(costs)) return [];
  return points.flatMap(({ k }) => {
    const draftMs = costs.draftMs.get(k);
    if (k > 0 && draftMs === undefined) return [];
    const speedup = computedSpeedup(
      {
        acceptance: costs.acceptance,
        draftMs: () => draftMs ?? 0,
        passMs: (tokens) => costs.passMs.get(tokens),
        otherMs: costs.otherMs,
      },
      k,
    );
    return speedup === null ? [] : [{ k, speedup }];
  });
}

export function SweepResult() {
  const { lanes, done } = useLanes();
  const points = useMemo(() => sweepPoints(lanes), [lanes]);
  const curve = useMemo(() => curveOf(lanes, points), [lanes, points]);
  const open = useOpenRun();
  const best = bestPoint(points);
  if (!best) return null;
  const notes = [curveWords(sweptCosts(lanes), curve.length), lengthWords(lanes)].filter(Boolean);
  return (
    <Provenance value={measuredTogether("sweep over depths", lanes[0]?.run.started ?? null)}>
      <p role="status" className="race-summary">
        {sweepSummary(best, done)}
      </p>
      <p className="race-asked">
        <span className="sr-only">Prompt: </span>
        {lanes[0]?.run.started?.prompt}
      </p>
      <div className="sweep-result">
        <SavedFigure title="Speedup by depth">
          <SweepChart points={points} curve={curve} best={best.k} onOpen={open} />
          <ul className="sweep-key">
            <li>
              <i className="key-sweep-measured" aria-hidden /> measured
            </li>
            {curve.length > 1 && (
              <li>
                <i className="key-sweep-computed" aria-hidden /> computed
              </li>
            )}
            <li>
              <i className="key-sweep-line" aria-hidden /> plain decoding
            </li>
          </ul>
        </SavedFigure>
        <SweepTable points={points} best={best.k} onOpen={open} />
      </div>
      {notes.map((words) => (
        <p key={words} className="race-note">
          {words}
        </p>
      ))}
    </Provenance>
  );
}

/** Shows the run of a point on the live page, as a file would. */
function useOpenRun(): (point: SweepPoint) => void {
  const store = useStore();
  const sweep = useSweepStore();
  return ({ k, lane: { run } }) => {
    const header = { created: "", machine: run.started?.target_model.computes_on ?? "", speculatoviz: "" };
    const recording = { header, events: sweep.messagesOf(run), warning: null };
    const title = `${sweepTitle(k)} of the sweep`;
    if (!store.showStored({ id: null, title, recording }))
      store.notify(
        "A run is going on.",
        "Stop it, or wait for its end, then open the run of the sweep again.",
      );
    goTo("live");
  };
}

interface TableProps {
  readonly points: readonly SweepPoint[];
  readonly best: number;
  onOpen(point: SweepPoint): void;
}

function SweepTable({ points, best, onOpen }: TableProps) {
  return (
    <table className="sweep-table">
      <caption className="sr-only">Measured figures of every depth</caption>
      <thead>
        <tr>
          <th scope="col">Depth</th>
          <th scope="col">Speedup</th>
          <th scope="col">Tokens / s</th>
          <th scope="col">Tokens a round</th>
          <th scope="col">Accepted</th>
          <th scope="col">
            <span className="sr-only">Open</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {points.map((point) => {
          const { k, lane } = point;
          const share = lane.run.done?.metrics.overall_acceptance_rate ?? null;
          return (
            <tr key={k} data-best={k === best || undefined}>
              <th scope="row">
                {sweepTitle(k)}
                {k === best && <span className="sweep-best"> best</span>}
              </th>
              <td>{speedupWords(point)}</td>
              <td>{fixed(lane.tps, 1)}</td>
              <td>{fixed(lane.tokens.length / Math.max(1, lane.arrivals.length))}</td>
              <td>{k === 0 ? percent(null) : percent(share)}</td>
              <td>
                <button type="button" className="race-button" onClick={() => onOpen(point)}>
                  Open <span className="sr-only">the run of {sweepTitle(k)}</span>
                </button>
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
