import { ChevronRight, Dices } from "lucide-react";
import { useId } from "react";
import { fixed } from "../state/format";
import { formOf, isRunning } from "../state/store";
import { useApp, useStore } from "../state/useStore";
import { DrafterSelect } from "./DrafterSelect";
import { NumberSlider } from "./NumberSlider";
import { PassTimes } from "./PassTimes";
import { Since } from "./Since";

export function Fields() {
  return (
    <div className="flex flex-col gap-3.5">
      <NumberSlider field="k" name="Depth K" show={String} note={<Since field="k" />} />
      <PassTimes />
      <NumberSlider
        field="temperature"
        name="Temperature"
        show={(value) => (value === 0 ? "0 (greedy)" : fixed(value))}
        note={<Since field="temperature" />}
      />
      <NumberSlider field="max_tokens" name="Max tokens" show={String} />
      <NumberSlider field="top_p" name="Top-p" show={(value) => (value === 1 ? "1 (off)" : fixed(value))} />
      <DrafterSelect note={<Since field="drafter" />} />
      <details className="group">
        <summary className="flex list-none items-center gap-1 text-[13px] text-soft hover:text-text">
          <ChevronRight size={14} aria-hidden className="transition-transform group-open:rotate-90" />
          More sampling settings
        </summary>
        <div className="mt-3 flex flex-col gap-3.5">
          <NumberSlider field="top_k" name="Top-k" show={(value) => (value === 0 ? "off" : String(value))} />
          <NumberSlider field="min_p" name="Min-p" show={(value) => (value === 0 ? "off" : fixed(value))} />
          <Seed />
        </div>
      </details>
    </div>
  );
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
