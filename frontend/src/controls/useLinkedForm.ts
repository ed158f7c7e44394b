// Fills the form from a link. A run never starts by itself: the reader presses Generate.
import { useEffect, useState } from "react";
import { choicesOfLink } from "../app/link";
import { useHash } from "../app/places";
import { isBusy } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { sourceOf } from "../words/sources";

export function useLinkedForm(): void {
  const store = useStore();
  const hash = useHash();
  const settings = useApp((state) => state.settings);
  const [drafter, setDrafter] = useState<string | null>(null);
  useEffect(() => {
    const choices = choicesOfLink(hash);
    if (!choices) return;
    // A later reload must not undo what the reader changes.
    history.replaceState(null, "", location.pathname + location.search);
    if (isBusy(store.get())) {
      store.notify("A run is going on.", "Stop it, or wait for its end, then open the link again.");
      return;
    }
    store.choose(choices);
    setDrafter(choices.drafter ?? choices.onlyDrafter);
    store.notify("Prompt and settings come from a link.", "Read them, then press Generate.");
  }, [store, hash]);
  useEffect(() => {
    if (drafter === null || settings === null) return;
    setDrafter(null);
    if (settings.drafters.some(({ name, available }) => available && name === drafter)) return;
    store.notify(
      `The link names the drafter ${sourceOf(drafter).title}, which is not available here.`,
      "The form names the one that would draft instead.",
    );
  }, [store, settings, drafter]);
}
