import { ChevronRight, Play, Square } from "lucide-react";
import { isBusy, isReady, plainRun } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { plainProgress, waitingFor } from "../words/waiting";
import { CopyFormLink } from "./CopyFormLink";
import "./controls.css";
import { PredictionBox } from "./PredictionBox";
import { PromptBox } from "./PromptBox";
import { SettingsForm } from "./SettingsForm";
import { useLinkedForm } from "./useLinkedForm";
import { useObstacle } from "./useObstacle";
import { useWide } from "./useWide";

export function ControlPanel() {
  const store = useStore();
  useLinkedForm();
  return (
    <div className="flex flex-col gap-4 p-4">
      <div>
        <PromptBox onSubmit={() => !isBusy(store.get()) && store.start()} />
        <PredictionBox />
      </div>
      <div>
        <RunButton />
        <BelowButton />
      </div>
      <Settings />
    </div>
  );
}

/** The settings, all at once: rows that come one by one would push each other down. */
function Settings() {
  const known = useApp((state) => state.settings !== null);
  if (!known) return null;
  return (
    <>
      <Fields />
      <p className="text-[12px] text-faint">
        Every figure on this page is measured. The baseline is plain decoding: the same target alone.
      </p>
    </>
  );
}

/** On a phone the settings are collapsed, so that the run is not far below its button. */
function Fields() {
  const wide = useWide();
  if (wide) return <SettingsForm />;
  return (
    <details className="group/settings">
      <summary className="flex list-none items-center gap-1 text-[13px] font-medium">
        <ChevronRight size={15} aria-hidden className="transition-transform group-open/settings:rotate-90" />
        Settings
      </summary>
      <div className="pt-3">
        <SettingsForm />
      </div>
    </details>
  );
}

function RunButton() {
  const store = useStore();
  const running = useApp(isBusy);
  const obstacle = useObstacle();
  const isMac = navigator.platform.startsWith("Mac");
  if (running) {
    return (
      <button type="button" className="run-button stop" onClick={() => store.stop()}>
        <Square size={14} fill="currentColor" aria-hidden />
        Stop
      </button>
    );
  }
  return (
    <button
      type="button"
      className="run-button"
      aria-disabled={obstacle !== null}
      aria-describedby={obstacle ? "obstacle" : undefined}
      onClick={() => obstacle === null && store.start()}
    >
      <Play size={15} fill="currentColor" aria-hidden />
      Generate
      <kbd>{isMac ? "⌘" : "Ctrl"} ↵</kbd>
    </button>
  );
}

/** What stands below the button has one height in all usual states, so that nothing below it moves. */
function BelowButton() {
  const running = useApp(isBusy);
  const obstacle = useObstacle();
  const loading = useApp((state) => state.connection === "connected" && !isReady(state));
  return (
    <div className="mt-2 min-h-8 text-[12px]">
      {running ? <Waiting /> : loading ? <Loading /> : obstacle === null && <CopyFormLink />}
      {obstacle && !running && (
        <p id="obstacle" className={loading ? "sr-only" : "text-soft"}>
          {obstacle}
        </p>
      )}
    </div>
  );
}

/** What a run without tokens waits for. */
function Waiting() {
  const words = useApp((state) => {
    const plain = plainRun(state);
    return plain ? plainProgress(plain) : state.play && waitingFor(state.play.full);
  });
  if (words === null) return null;
  return (
    <p role="status" className="text-soft">
      {words}
    </p>
  );
}

function Loading() {
  const health = useApp((state) => state.health);
  if (!health || health.status === "ready") return null;
  if (health.status === "failed") {
    return (
      <div role="alert" className="border-l-2 border-(--status-rejected) pl-3 text-[13px]">
        <p className="font-medium">{health.message ?? "The models could not be loaded."}</p>
        {health.hint && <p className="text-soft">{health.hint}</p>}
      </div>
    );
  }
  return (
    <div className="text-soft">
      <progress
        className="load-bar"
        aria-label="Loading the models"
        {...(health.progress === null ? {} : { value: health.progress })}
      />
      <p className="mt-1">{health.message ?? health.stage}</p>
      {health.hint && <p className="text-faint">{health.hint}</p>}
    </div>
  );
}
