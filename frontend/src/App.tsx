import { memo, useCallback, useDeferredValue, useMemo } from "react";
import { isReady, isRunning } from "./app/state";
import { useApp, useStore } from "./app/useStore";
import { useThrottled } from "./app/useThrottled";
import { Dashboard } from "./charts/Dashboard";
import { ShadowPanel } from "./charts/ShadowPanel";
import { ControlPanel } from "./controls/ControlPanel";
import type { Run } from "./run/model";
import { emptyRun } from "./run/reducer";
import "./views/live/shell.css";
import { Announcer } from "./views/live/Announcer";
import { Header } from "./views/live/Header";
import { Notices } from "./views/live/Notices";
import { RecordingBanner } from "./views/live/RecordingBanner";
import { TextPanel } from "./views/live/TextPanel";
import { Transport } from "./views/live/Transport";
import { TreePanel } from "./views/live/TreePanel";

const SteadyDashboard = memo(Dashboard);
/** A constant element: it follows the run without rendering the charts again. */
const SHADOWS = <ShadowPanel />;

/** Figures change once per round, so the dashboard does not follow every token and does not delay the text. */
function useRunByRound(): Run {
  const run = useApp((state) => state.play?.shown ?? emptyRun);
  const { id, phase, latest, done, failure } = run;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the run as it was when one of these last changed
  const steady = useMemo(() => run, [id, phase, latest, done, failure]);
  return useDeferredValue(useThrottled(steady, phase !== "running"));
}

function DashboardPanel() {
  const store = useStore();
  const run = useRunByRound();
  const source = useApp((state) => state.play?.source);
  const idle = useApp((state) => isReady(state) && !isRunning(state) && state.connection === "connected");
  const prompt = run.started?.prompt;
  const measure = useCallback(() => store.startPlain(), [store]);
  const canMeasure = idle && source === "live" && run.done !== null && prompt !== undefined;
  return <SteadyDashboard run={run} onMeasurePlain={canMeasure ? measure : null} middle={SHADOWS} />;
}

export function App() {
  return (
    <div className="shell">
      <a href="#text" className="skip-link">
        Skip to the text
      </a>
      <Header />
      <main className="columns">
        <section aria-label="Prompt and controls" className="column-controls">
          <ControlPanel />
        </section>
        <div className="column-run">
          <RecordingBanner />
          <Notices />
          <TreePanel />
          <TextPanel />
        </div>
        <section aria-label="Dashboard" className="column-dashboard">
          <DashboardPanel />
        </section>
      </main>
      <Transport />
      <Announcer />
    </div>
  );
}
