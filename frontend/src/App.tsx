import { lazy, memo, useCallback, useDeferredValue, useEffect, useMemo } from "react";
import { usePlace } from "./app/places";
import { isBusy, isLive, isReady } from "./app/state";
import { useApp, useStore } from "./app/useStore";
import { useThrottled } from "./app/useThrottled";
import { RejectionPanel } from "./charts/RejectionPanel";
import { ShadowPanel } from "./charts/ShadowPanel";
import { VerdictStrip } from "./charts/VerdictStrip";
import { ControlPanel } from "./controls/ControlPanel";
import { useWide } from "./controls/useWide";
import type { Run } from "./run/model";
import { emptyRun } from "./run/reducer";
import type { BaselineKind } from "./run/verdict";
import { Brand } from "./ui/Brand";
import { OnDemand } from "./ui/OnDemand";
import { Places } from "./ui/Places";
import { plainProgress } from "./words/waiting";
import "./ui/page.css";
import "./views/live/shell.css";
import { Announcer } from "./views/live/Announcer";
import { Header } from "./views/live/Header";
import { Notices } from "./views/live/Notices";
import { PhoneParts, usePart } from "./views/live/PhoneParts";
import { RecordingBanner } from "./views/live/RecordingBanner";
import { RunStrip } from "./views/live/RunStrip";
import { TextPanel } from "./views/live/TextPanel";
import { Transport } from "./views/live/Transport";
import { TreePanel } from "./views/live/TreePanel";

/** With the charts' library, which is half of the page's code: it loads after the rest. */
const SteadyDashboard = lazy(() =>
  import("./charts/Dashboard").then(({ Dashboard }) => ({ default: Dashboard })),
);
const Learn = lazy(() => import("./views/learn/Learn").then((view) => ({ default: view.Learn })));
const Runs = lazy(() => import("./views/runs/Runs").then((view) => ({ default: view.Runs })));
const SteadyVerdict = memo(VerdictStrip);

/**
 * Figures change once per round, so the dashboard does not follow every token. It may lag a live run in real time, so that
 * it does not delay the text; in a replay it is on one clock with tree and text.
 */
function useRunByRound(): Run {
  const run = useApp((state) => state.play?.shown ?? emptyRun);
  const { id, phase, latest, done, failure } = run;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the run as it was when one of these last changed
  const steady = useMemo(() => run, [id, phase, latest, done, failure]);
  const live = useApp(isLive);
  const late = useDeferredValue(useThrottled(steady, phase !== "running"));
  return live ? late : steady;
}

/** onRound: called when an example leads to its round. */
function DashboardPanel({ onRound }: { onRound: () => void }) {
  const baselineKind = useApp((state) => state.baselineKind);
  // The same elements from round to round: they follow the run without rendering the charts again.
  const middle = useMemo(
    () => (
      <>
        <RejectionPanel onRound={onRound} />
        <ShadowPanel />
      </>
    ),
    [onRound],
  );
  return <SteadyDashboard run={useRunByRound()} baselineKind={baselineKind} middle={middle} />;
}

function Verdict() {
  const store = useStore();
  const run = useRunByRound();
  const source = useApp((state) => state.play?.source);
  const idle = useApp((state) => isReady(state) && !isBusy(state) && state.connection === "connected");
  const measuring = useApp((state) => (state.plain ? plainProgress(state.plain) : null));
  const baselineKind = useApp((state) => state.baselineKind);
  const measure = useCallback(() => store.startPlain(), [store]);
  const choose = useCallback((kind: BaselineKind) => store.setBaselineKind(kind), [store]);
  const canMeasure = idle && source === "live" && run.done !== null && run.started !== null;
  return (
    <SteadyVerdict
      run={run}
      baselineKind={baselineKind}
      onBaselineKind={choose}
      onMeasurePlain={canMeasure ? measure : null}
      measuring={measuring}
    />
  );
}

function Live() {
  const store = useStore();
  useEffect(() => void store.connect(), [store]);
  const [part, setPart] = usePart();
  const showTree = useCallback(() => setPart("tree"), [setPart]);
  // Charts cannot be drawn where they are not shown.
  const wide = useWide();
  return (
    <div className="shell">
      <a href="#text" className="skip-link">
        Skip to the text
      </a>
      <Header />
      <Verdict />
      <PhoneParts part={part} onPart={setPart} />
      <main className="columns" data-part={part}>
        <section aria-label="Prompt and controls" className="column-controls">
          <ControlPanel />
        </section>
        <div className="column-run">
          <RecordingBanner />
          <Notices />
          <RunStrip />
          <TreePanel />
          <TextPanel />
        </div>
        <section aria-label="Dashboard" className="column-dashboard">
          <OnDemand>{(wide || part === "figures") && <DashboardPanel onRound={showTree} />}</OnDemand>
        </section>
      </main>
      <Transport />
      <Announcer />
    </div>
  );
}

export function App() {
  const place = usePlace();
  if (place === "live") return <Live />;
  return (
    <OnDemand
      header={
        <header className="page-header">
          <Brand />
          <Places />
        </header>
      }
    >
      {place === "runs" ? <Runs /> : <Learn />}
    </OnDemand>
  );
}
