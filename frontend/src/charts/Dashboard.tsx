// The figures of a run. They render once per round, when its metrics come, not with every token.
import { memo, type ReactNode } from "react";
import type { Run } from "../run/model";
import type { BaselineKind } from "../run/verdict";
import { HelpGroup } from "../ui/HelpGroup";
import { AcceptanceGauge } from "./AcceptanceGauge";
import { EfficiencyBars } from "./EfficiencyBars";
import { gaugeOf } from "./gauge";
import { KeyFigures } from "./KeyFigures";
import { LatencyChart } from "./LatencyChart";
import { PlanPanel } from "./PlanPanel";
import { PositionChart } from "./PositionChart";
import { SpeedChart } from "./SpeedChart";
import { latencySeries, positionRates, speedSeries } from "./series";
import { baselineOf, isVerified, valuesOf } from "./speedup";
import { UsagePanel } from "./UsagePanel";
import "./charts.css";

interface Props {
  readonly run: Run;
  readonly baselineKind: BaselineKind;
  /** Content between figures and charts that follows the run by itself. */
  readonly middle?: ReactNode;
}

export const Dashboard = memo(Figures, (a, b) => {
  const shown = ["latest", "done", "started", "updates", "phase"] as const;
  return a.baselineKind === b.baselineKind && shown.every((part) => a.run[part] === b.run[part]);
});

function Figures({ run, baselineKind, middle }: Props) {
  const values = valuesOf(run);
  const baseline = isVerified(run) ? baselineOf(run, baselineKind) : null;
  return (
    <HelpGroup>
      <section className="db" aria-label="Measurements">
        <div className="db-head">
          <KeyFigures
            values={values}
            promptCache={run.rounds[0]?.metrics?.prompt_cache ?? null}
            done={run.done !== null}
          />
          <AcceptanceGauge gauge={gaugeOf(run, values)} />
        </div>
        <PlanPanel run={run} />
        {values?.usage && (
          <UsagePanel
            usage={values.usage}
            rounds={values.rounds}
            times={values}
            remote={run.started?.remote ?? null}
          />
        )}
        {middle}
        {values ? (
          <div className="db-charts">
            <SpeedChart series={speedSeries(run)} baseline={baseline} />
            <LatencyChart rows={latencySeries(run)} />
            <PositionChart rates={positionRates(values)} />
            <EfficiencyBars values={values} />
          </div>
        ) : (
          <p className="db-none">
            The charts start with the first round. Every figure is measured in the run.
          </p>
        )}
      </section>
    </HelpGroup>
  );
}
