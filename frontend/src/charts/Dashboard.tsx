// The figures of a run. Drawn again once a round, when its metrics come; not with every token.
import { memo, type ReactNode, useState } from "react";
import type { Run } from "../run/model";
import { AcceptanceGauge } from "./AcceptanceGauge";
import { EfficiencyBars } from "./EfficiencyBars";
import { KeyFigures } from "./KeyFigures";
import { LatencyChart } from "./LatencyChart";
import { PositionChart } from "./PositionChart";
import { SpeedChart } from "./SpeedChart";
import { SpeedupFigure } from "./SpeedupFigure";
import { acceptanceHistory, latencySeries, positionRates, speedSeries } from "./series";
import { type BaselineKind, baselineOf, isVerified, valuesOf } from "./speedup";
import { UsagePanel } from "./UsagePanel";
import "./charts.css";

interface Props {
  readonly run: Run;
  readonly onMeasurePlain: (() => void) | null;
  /** What stands between figures and charts, and follows the run by itself. */
  readonly beside?: ReactNode;
}

export const Dashboard = memo(Figures, (a, b) => {
  const kept = ["latest", "done", "started", "updates", "phase"] as const;
  return a.onMeasurePlain === b.onMeasurePlain && kept.every((part) => a.run[part] === b.run[part]);
});

function Figures({ run, onMeasurePlain, beside }: Props) {
  const [baselineKind, setBaselineKind] = useState<BaselineKind>("streaming");
  const values = valuesOf(run);
  const plain = isVerified(run) ? baselineOf(run, baselineKind) : null;
  return (
    <section className="db" aria-label="Measurements">
      <div className="db-head">
        <SpeedupFigure
          run={run}
          baselineKind={baselineKind}
          onBaselineKind={setBaselineKind}
          onMeasurePlain={onMeasurePlain}
        />
        <AcceptanceGauge rate={values?.acceptance_rate ?? null} history={acceptanceHistory(run)} />
      </div>
      <KeyFigures values={values} done={run.done !== null} />
      {values?.usage && (
        <UsagePanel usage={values.usage} rounds={values.rounds} remote={run.started?.remote ?? null} />
      )}
      {beside}
      {values ? (
        <div className="db-charts">
          <SpeedChart series={speedSeries(run)} plain={plain} />
          <LatencyChart rows={latencySeries(run)} />
          <PositionChart rates={positionRates(values)} />
          <EfficiencyBars values={values} />
        </div>
      ) : (
        <p className="db-none">
          Charts fill from the first round on. Every figure is measured in the run itself.
        </p>
      )}
    </section>
  );
}
