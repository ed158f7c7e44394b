// The place Live: one run, as it is computed or replayed.
import { lazy, memo, useCallback, useDeferredValue, useEffect, useMemo } from "react";
import { type AppState, hasServer, isBusy, isLive, isReady, plainRun } from "../../app/state";
import { useApp, useStore } from "../../app/useStore";
import { useThrottled } from "../../app/useThrottled";
import { RejectionPanel } from "../../charts/RejectionPanel";
import { ShadowPanel } from "../../charts/ShadowPanel";
import { VerdictStrip } from "../../charts/VerdictStrip";
import { ControlPanel } from "../../controls/ControlPanel";
import { useWide } from "../../controls/useWide";
import type { Run } from "../../run/model";
import { emptyRun } from "../../run/reducer";
import type { BaselineKind } from "../../run/verdict";
import { OnDemand } from "../../ui/OnDemand";
import { Provenance } from "../../ui/provenance";
import { runProvenance } from "../../words/provenance";
import { plainProgress } from "../../words/waiting";
import "./shell.css";
import { Announcer } from "./Announcer";
import { Header } from "./Header";
import { isLagging } from "./lag";
import { Notices } from "./Notices";
import { PhoneParts, usePart } from "./PhoneParts";
import { RecordedPanel } from "./RecordedPanel";
import { RecordingBanner } from "./RecordingBanner";
import { RunStrip } from "./RunStrip";
import { TextPanel } from "./TextPanel";
import { Transport } from "./Transport";
import { TreePanel } from "./TreePanel";

/** Loads after the rest, which can be read without it. */
const SteadyDashboard = lazy(() =>
  import("../../charts/Dashboard").then(({ Dashboard }) => ({ default: Dashboard })),
);
/** Only kept runs have it. */
const WhatIf = lazy(() => import("./WhatIfPanel").then(({ WhatIfPanel }) => ({ default: WhatIfPanel })));
const SteadyVerdict = memo(VerdictStrip);

/**
 * Figures change once per round, so the dashboard does not follow every token. In real time rounds can come faster than
 * figures are read, and drawing them must not delay the text. When paced it is on one clock with tree and text.
 */
function useRunByRound(): Run {
  const run = useApp((state) => state.play?.shown ?? emptyRun);
  const { id, phase, latest, done, failure } = run;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the run as it was when one of these last changed
  const steady = useMemo(() => run, [id, phase, latest, done, failure]);
  const live = useApp(isLive);
  const quick = useApp(({ play }) => play?.playing === true && play.mode === "real");
  const throttled = useThrottled(steady, phase !== "running" || !quick);
  const deferred = useDeferredValue(throttled);
  if (!quick) return steady;
  return live && !isLagging(deferred, throttled) ? deferred : throttled;
}

/** onRound: called when an example leads to its round. */
function DashboardPanel({ onRound }: { onRound: () => void }) {
  const baselineKind = useApp((state) => state.baselineKind);
  const hasRecord = useApp(({ play, stored }) => stored?.id != null && play?.full.started?.record != null);
  // The same elements from round to round: they follow the run without rendering the charts again.
  const middle = useMemo(
    () => (
      <>
        <RejectionPanel onRound={onRound} />
        <ShadowPanel />
        <OnDemand>{hasRecord && <WhatIf />}</OnDemand>
      </>
    ),
    [onRound, hasRecord],
  );
  return <SteadyDashboard run={useRunByRound()} baselineKind={baselineKind} middle={middle} />;
}

function Verdict() {
  const store = useStore();
  const run = useRunByRound();
  const source = useApp((state) => state.play?.source);
  const idle = useApp((state) => isReady(state) && !isBusy(state) && state.connection === "connected");
  const measuring = useApp((state) => {
    const plain = plainRun(state);
    return plain && plainProgress(plain);
  });
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

const provenanceOf = ({ play, stored, recording }: AppState): string => {
  const kept = stored?.recording ?? (play?.source === "recording" ? recording : null);
  return runProvenance(play?.full.started ?? null, kept?.header ?? null);
};

export function Live() {
  const store = useStore();
  useEffect(() => void store.open(), [store]);
  const [part, setPart] = usePart();
  const showTree = useCallback(() => setPart("tree"), [setPart]);
  // Charts cannot be drawn where they are not shown.
  const wide = useWide();
  const server = useApp(hasServer);
  const provenance = useApp(provenanceOf);
  return (
    <Provenance value={provenance}>
      <div className="shell">
        <a href="#text" className="skip-link">
          Skip to the text
        </a>
        <Header />
        <Verdict />
        <PhoneParts part={part} onPart={setPart} />
        <main className="columns" data-part={part}>
          <section aria-label={server ? "Prompt and controls" : "Prompt"} className="column-controls">
            {server ? <ControlPanel /> : <RecordedPanel />}
          </section>
          <div className="column-run">
            <Notices />
            <RunStrip />
            <TreePanel />
            <TextPanel />
            <RecordingBanner />
          </div>
          <section aria-label="Dashboard" className="column-dashboard">
            <OnDemand>{(wide || part === "figures") && <DashboardPanel onRound={showTree} />}</OnDemand>
          </section>
        </main>
        <Transport />
        <Announcer />
      </div>
    </Provenance>
  );
}
