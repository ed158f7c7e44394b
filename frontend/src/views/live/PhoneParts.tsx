// On a phone the page shows one part at a time. Wider windows show all, and have no such choice.
import { useEffect, useState } from "react";
import { isBusy } from "../../app/state";
import { useApp, useStore } from "../../app/useStore";
import { type Segment, Segments } from "../../ui/Segments";
import "./phone.css";

export type Part = "prompt" | "tree" | "text" | "figures";

const PARTS: readonly Segment<Part>[] = [
  { value: "prompt", name: "Prompt", help: "The prompt and the settings of the next run" },
  { value: "tree", name: "Tree", help: "The token tree" },
  { value: "text", name: "Text", help: "The text of the run" },
  { value: "figures", name: "Figures", help: "The measurements of the run" },
];

/** The part that a phone shows: the tree as soon as there is a run. The recording replaces no choice of the reader. */
export function usePart(): [Part, (part: Part) => void] {
  const [chosen, setChosen] = useState<Part | null>(null);
  const source = useApp((state) => state.play?.source ?? null);
  const run = useApp((state) => (state.play?.source === "live" ? (state.play.full.id ?? "") : null));
  useEffect(() => {
    if (run !== null) setChosen("tree");
  }, [run]);
  return [chosen ?? (source === null ? "prompt" : "tree"), setChosen];
}

/** While the server computes, the run can be stopped from every part; the prompt has a button of its own. */
export function PhoneParts({ part, onPart }: { part: Part; onPart(part: Part): void }) {
  const store = useStore();
  const busy = useApp(isBusy);
  return (
    <nav aria-label="Parts of the page" className="phone-parts">
      <Segments label="Shown part" segments={PARTS} value={part} onChoose={onPart} />
      {busy && part !== "prompt" && (
        <button type="button" className="phone-stop" onClick={() => store.stop()}>
          Stop
        </button>
      )}
    </nav>
  );
}
