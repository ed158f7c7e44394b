import { useId } from "react";
import { formOf } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { SourceBadge } from "../ui/SourceMark";
import { sourceOf } from "../words/sources";
import { Disclosure } from "./Disclosure";

const PREDICTED = "prediction";

/** A predicted output: text that the answer is expected to repeat in part. Optional, and closed until it is asked for. */
export function PredictionBox() {
  const store = useStore();
  const prediction = useApp((state) => state.choices.prediction);
  const used = useApp((state) => formOf(state).prediction !== null);
  const id = useId();
  return (
    <Disclosure quiet title={used ? "Predicted output (given)" : "Predicted output (optional)"}>
      <label htmlFor={id} className="sr-only">
        Predicted output
      </label>
      <textarea
        id={id}
        className="prompt-box"
        rows={4}
        value={prediction}
        placeholder="Text that the answer may repeat, such as a file before an edit."
        aria-describedby={`${id}-help`}
        onChange={(event) => store.choose({ prediction: event.target.value })}
      />
      <div id={`${id}-help`} className="mt-1 text-[12px] text-faint">
        <p>
          The drafter copies from this text where the answer repeats it. The target verifies every token, so a
          wrong prediction costs time and does not change the answer.
        </p>
        <p className="mt-1">
          <SourceBadge source={PREDICTED} /> Tokens with this colour and letter are from the{" "}
          {sourceOf(PREDICTED).title}.
        </p>
      </div>
      <Unread />
    </Disclosure>
  );
}

/** Which drafters read the prediction, if the chosen one does not. */
function Unread() {
  const words = useApp((state) => {
    const { prediction, drafter } = formOf(state);
    const readers = state.settings?.prediction_drafters ?? [];
    if (prediction === null || drafter === null || readers.includes(drafter)) return null;
    const titles = readers.map(
      (name) => state.settings?.drafters.find((entry) => entry.name === name)?.title ?? name,
    );
    return `The chosen drafter does not read it. Choose one of: ${titles.join(", ")}.`;
  });
  return words === null ? null : (
    <p role="status" className="mt-1 text-[12px] text-soft">
      {words}
    </p>
  );
}
