// Marks the shown run as a recording, with its machine and date.
import { CirclePlay, Disc } from "lucide-react";
import { useEffect } from "react";
import { keepInBrowser } from "../../app/kept";
import { useRunId } from "../../app/places";
import { isReady } from "../../app/state";
import { useApp, useStore } from "../../app/useStore";
import { day } from "../../words/format";
import { unlikeWords } from "../../words/unlike";
import { StoredBanner } from "./StoredBanner";

/** What the run on the page is, unless it is a live one. */
export function RecordingBanner() {
  const run = useRunId();
  const stored = useApp((state) => state.stored);
  useKeeping();
  return run !== null || stored !== null ? <StoredBanner run={run} /> : <Recorded />;
}

/** A live run that is over is kept in the browser, if the server keeps none. */
function useKeeping(): void {
  const store = useStore();
  const done = useApp((state) => (state.play?.source === "live" ? state.play.full.done : null));
  useEffect(() => {
    const { play } = store.get();
    if (done && play) void keepInBrowser(play, Date.now(), unlikeWords);
  }, [store, done]);
}

/**
 * Its height is the same before the recording is there, and with and without the button. On a phone it comes first, where
 * the transport does not cover it.
 */
const ROW =
  "flex min-h-[41px] flex-wrap items-center gap-x-3 gap-y-1 border-line border-t bg-accent-soft px-4 py-1.5 text-[13px] max-[799px]:order-first max-[799px]:border-t-0 max-[799px]:border-b";

function Recorded() {
  const store = useStore();
  const recording = useApp((state) => (state.play?.source === "recording" ? state.recording : null));
  const started = useApp((state) => state.play?.full.started ?? null);
  const canRun = useApp((state) => isReady(state) && state.connection === "connected");
  const awaited = useApp((state) => state.recordingAwaited);
  if (!recording) return awaited ? <div className={ROW} /> : null;
  const { machine, created } = recording.header;
  const facts = [machine, created && day(created), recording.warning].filter(Boolean);
  const run = () => {
    if (started) store.choose({ prompt: started.prompt });
    store.start();
  };
  return (
    <div className={ROW}>
      <span className="flex items-center gap-2 font-medium whitespace-nowrap">
        <Disc size={15} aria-hidden className="text-accent" />
        <span>
          Recording<span className="max-[799px]:sr-only"> of a real run</span>
        </span>
      </span>
      <span
        className="min-w-0 flex-1 basis-52 truncate text-soft max-[799px]:basis-24"
        title={facts.join(" · ")}
      >
        {facts.join(" · ")}
      </span>
      {canRun && (
        <button
          type="button"
          onClick={run}
          className="inline-flex items-center gap-1.5 rounded-md px-2 py-1 font-medium whitespace-nowrap text-accent hover:bg-surface"
        >
          <CirclePlay size={15} aria-hidden />
          Run it live
        </button>
      )}
    </div>
  );
}
