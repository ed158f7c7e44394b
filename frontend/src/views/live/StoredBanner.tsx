// Marks the shown run as a kept one, or as a file. Opens the run that the address names.
import { Check, FileClock, Link2, X } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { keptRuns } from "../../app/kept";
import { goTo, placeInRun, runAddress } from "../../app/places";
import { isBusy, isRunning } from "../../app/state";
import { useApp, useStore } from "../../app/useStore";
import { ServerError } from "../../protocol/ask";
import { roundsShown } from "../../run/playback";
import { openTrace } from "../../run/recording";
import { tokenNumber } from "../../run/summary";
import { day } from "../../words/format";
import { watchedSentence } from "../../words/recorded";
import { runTitle } from "../../words/runs";

interface Fault {
  readonly message: string;
  readonly hint: string;
}

/** Opens the run at the place that the address names; null while it loads and once it is shown. */
function useOpened(run: string | null): Fault | null {
  const store = useStore();
  const [fault, setFault] = useState<Fault | null>(null);
  useEffect(() => {
    setFault(null);
    if (run === null) {
      if (store.get().stored?.id != null) store.closeStored();
      return;
    }
    const busy = () => {
      store.notify("A run is going on.", "Stop it, or wait for its end, then open the kept run again.");
      goTo("live");
    };
    if (isBusy(store.get())) return busy();
    let left = false;
    const open = async () => {
      const kept = await keptRuns();
      const [about, text] = await Promise.all([kept.run(run), kept.trace(run)]);
      if (left) return;
      const { recording, problem } = openTrace(text);
      if (problem) {
        setFault({ message: problem[0], hint: problem[1] });
        return;
      }
      const { round, token } = placeInRun(location.search);
      if (!store.showStored({ id: about.id, title: runTitle(about), recording }, round, token)) busy();
    };
    open().catch((error: unknown) => {
      if (left) return;
      const words = error instanceof ServerError ? error : { message: "The run cannot be read.", hint: "" };
      setFault({ message: words.message, hint: words.hint });
    });
    return () => {
      left = true;
    };
  }, [store, run]);
  return fault;
}

/** A run that starts here is a new one, with the address of the live page. */
function useLeaving(run: string | null): void {
  const running = useApp(isRunning);
  useEffect(() => {
    if (running && run !== null) goTo("live");
  }, [running, run]);
}

/** run: the id in the address; null without one. */
export function StoredBanner({ run }: { run: string | null }) {
  const store = useStore();
  const stored = useApp((state) => state.stored);
  const watched = useApp((state) => (state.stored ? (state.play?.full.started?.watched ?? null) : null));
  const fault = useOpened(run);
  useLeaving(run);
  const close = () => (stored?.id == null && run === null ? store.closeStored() : goTo("runs"));
  const { machine = "", created = "" } = stored?.recording.header ?? {};
  const facts = [watched && watchedSentence(watched), machine, created && day(created)]
    .filter(Boolean)
    .join(" · ");
  return (
    <section
      aria-label="Kept run"
      className="order-first flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line bg-accent-soft px-4 py-1.5 text-[13px]"
    >
      <span className="flex min-w-0 items-center gap-2 font-medium">
        <FileClock size={15} aria-hidden className="shrink-0 text-accent" />
        <span className="sr-only">{stored?.id == null ? "File" : "Kept run"}: </span>
        <span className="truncate" title={stored?.title}>
          {stored?.title ?? (fault ? "This run cannot be shown" : "The run is loading")}
        </span>
      </span>
      <span className="min-w-0 flex-1 basis-40 truncate text-soft" title={facts}>
        {fault ? `${fault.message} ${fault.hint}` : facts}
        {stored?.recording.warning && ` · ${stored.recording.warning}`}
      </span>
      {stored?.id != null && <CopyLink id={stored.id} />}
      <button type="button" className="icon-button -my-1" aria-label="Close the run" onClick={close}>
        <X size={15} aria-hidden />
      </button>
    </section>
  );
}

/** Copies an address that leads to the shown round, and to the selected token. */
function CopyLink({ id }: { id: string }) {
  const store = useStore();
  const [copied, setCopied] = useState(false);
  const copy = useCallback(async () => {
    const { play, selected } = store.get();
    const token = play && selected !== null ? tokenNumber(play.full, selected) : null;
    const ofToken = token !== null && selected !== null ? Number(selected.split(":")[0]) + 1 : null;
    const round = ofToken ?? (play ? roundsShown(play) : null);
    try {
      await navigator.clipboard.writeText(location.origin + runAddress(id, { round, token }));
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      store.notify("The browser does not allow copying.", "Copy the address of the page instead.");
    }
  }, [store, id]);
  const Icon = copied ? Check : Link2;
  return (
    <button
      type="button"
      onClick={copy}
      className="inline-flex items-center gap-1.5 rounded-md px-2 py-1 font-medium whitespace-nowrap text-accent hover:bg-surface"
    >
      <Icon size={15} aria-hidden />
      {copied ? "Link copied" : "Copy link"}
    </button>
  );
}
