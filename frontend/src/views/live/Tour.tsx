// The tour of a first visit: four captions over the first round of the recording. It is never shown again.
import { useCallback, useEffect, useRef, useState } from "react";
import { loadValue, saveValue } from "../../app/storage";
import { useApp, useStore } from "../../app/useStore";
import * as playback from "../../run/playback";
import { STOPS, type Stop, tourRound, tourStops } from "../../run/tour";
import { caption } from "../../words/tour";

const CAPTION_MS = 4500;

interface Place {
  /** From 0. */
  readonly at: number;
  readonly stop: Stop;
  next(): void;
  skip(): void;
}

/** Where the tour is; null without a recording on the page, and once the tour is over. */
function useTour(): Place | null {
  const store = useStore();
  const [at, setAt] = useState(() => (loadValue("toured") === null ? 0 : STOPS.length));
  const source = useApp((state) => state.play?.source ?? null);
  const recorded = useApp((state) =>
    state.play?.source === "recording" && state.stored === null ? state.play.events : null,
  );
  const stop = STOPS[at];
  // Nothing renders for every event once the introduction is over.
  const cursor = useApp((state) => (stop === undefined ? 0 : (state.play?.cursor ?? 0)));
  const shownFor = useRef<Stop | null>(null);
  const stops = recorded && tourStops(recorded);
  const wanted = stops && stop ? stops[stop] : null;

  const end = useCallback(() => {
    saveValue("toured", true);
    setAt(STOPS.length);
  }, []);
  useEffect(() => {
    if (wanted === null) return;
    store.playback((play) => playback.pause(playback.showEvents(play, wanted)));
  }, [store, wanted]);
  useEffect(() => {
    if (stop === undefined) return;
    // A reader who moves on, or starts a run, needs no introduction.
    const moved = wanted !== null && cursor !== wanted && shownFor.current === stop;
    if (cursor === wanted) shownFor.current = stop;
    if (moved || source === "live") end();
  }, [source, cursor, wanted, stop, end]);

  if (wanted === null || stop === undefined) return null;
  const skip = () => {
    end();
    store.playback(playback.play);
  };
  return { at, stop, skip, next: at + 1 < STOPS.length ? () => setAt(at + 1) : skip };
}

export function Tour() {
  const place = useTour();
  const run = useApp((state) => state.play?.full ?? null);
  const next = useRef(place?.next);
  next.current = place?.next;
  useEffect(() => {
    if (place?.stop === undefined) return;
    const timer = setTimeout(() => next.current?.(), CAPTION_MS);
    return () => clearTimeout(timer);
  }, [place?.stop]);
  const round = run && tourRound(run);
  if (!place || !round) return null;
  return (
    <section aria-label="Introduction" className="tour">
      <p>
        <b>
          {place.at + 1} of {STOPS.length}
        </b>{" "}
        {caption(place.stop, round)}
      </p>
      <span>
        <button type="button" onClick={place.next}>
          Next
        </button>
        <button type="button" onClick={place.skip}>
          Skip
        </button>
      </span>
    </section>
  );
}
