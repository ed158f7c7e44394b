import { Dices } from "lucide-react";
import { useId } from "react";
import { formOf, isRunning } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { fixed } from "../words/format";
import { ChangeNote } from "./ChangeNote";
import { Disclosure } from "./Disclosure";
import { DrafterSelect } from "./DrafterSelect";
import { NumberSlider } from "./NumberSlider";
import { AcceptanceNote, PassTimes } from "./PassTimes";
import { RuleSelect } from "./RuleSelect";
import { ShadowChoice } from "./ShadowChoice";

export function SettingsForm() {
  return (
    <div className="flex flex-col gap-3.5">
      <NumberSlider field="k" name="Depth K" show={String} note={<ChangeNote field="k" />} />
      <PassTimes />
      <TreeSize />
      <NumberSlider
        field="temperature"
        name="Temperature"
        show={(value) => (value === 0 ? "0 (greedy)" : fixed(value))}
        note={<ChangeNote field="temperature" />}
      />
      <NumberSlider field="max_tokens" name="Max tokens" show={String} />
      <NumberSlider field="top_p" name="Top-p" show={(value) => (value === 1 ? "1 (off)" : fixed(value))} />
      <DrafterSelect
        note={
          <>
            <ChangeNote field="drafter" />
            <AcceptanceNote />
          </>
        }
      />
      <RuleSelect />
      <ShadowChoice />
      <Disclosure title="More sampling settings">
        <div className="flex flex-col gap-3.5">
          <NumberSlider field="top_k" name="Top-k" show={(value) => (value === 0 ? "off" : String(value))} />
          <NumberSlider field="min_p" name="Min-p" show={(value) => (value === 0 ? "off" : fixed(value))} />
          <Seed />
        </div>
      </Disclosure>
    </div>
  );
}

/** Where drafter and rule take trees. As many tokens as the depth are a chain. */
function TreeSize() {
  const trees = useApp((state) => formOf(state).trees);
  const depth = useApp((state) => formOf(state).numbers.k);
  if (!trees) return null;
  const show = (nodes: number) => (nodes <= depth ? `${nodes} (chain)` : `${nodes} tokens`);
  return <NumberSlider field="nodes" name="Tree size" show={show} note={<ChangeNote field="nodes" />} />;
}

function Seed() {
  const store = useStore();
  const seed = useApp((state) => formOf(state).numbers.seed);
  const running = useApp(isRunning);
  const id = useId();
  const choose = (value: number) => store.choose({ numbers: { seed: value } });
  return (
    <div className="flex items-center justify-between gap-2 text-[13px]">
      <label
        htmlFor={id}
        className="text-soft"
        title="The same seed, settings and models give the same tokens."
      >
        Seed
      </label>
      <span className="flex items-center gap-1">
        <input
          id={id}
          type="number"
          min={0}
          step={1}
          value={seed}
          disabled={running}
          className="seed-box figures"
          onChange={(event) =>
            Number.isFinite(event.target.valueAsNumber) && choose(event.target.valueAsNumber)
          }
        />
        <button
          type="button"
          className="icon-button"
          disabled={running}
          aria-label="Another seed"
          onClick={() => choose(Math.floor(Math.random() * 1_000_000))}
        >
          <Dices size={16} aria-hidden />
        </button>
      </span>
    </div>
  );
}
