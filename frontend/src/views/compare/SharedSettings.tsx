// What all runs of a race or a sweep have in common: prompt, temperature, length.
import type { Common } from "../../app/race";
import { formOf } from "../../app/state";
import type { Store } from "../../app/store";
import { NumberSlider } from "../../controls/NumberSlider";
import { PromptBox } from "../../controls/PromptBox";
import { fixed } from "../../words/format";
import "../../controls/controls.css";

/** So that all runs draw with the same numbers. */
const COMMON_SEED = 1;

/** The settings as the form has them; null without a prompt. */
export function commonOf(store: Store): Common | null {
  const { prompt, rule, seed, numbers } = formOf(store.get());
  if (prompt.trim() === "") return null;
  const { max_tokens, temperature, top_p, top_k, min_p } = numbers;
  const sampling = { max_tokens, temperature, top_p, top_k, min_p };
  return { prompt, rule, ...sampling, seed: seed ?? COMMON_SEED };
}

export function SharedSettings({ onSubmit }: { onSubmit(): void }) {
  return (
    <div className="race-prompt">
      <PromptBox onSubmit={onSubmit} />
      <div className="race-sliders">
        <NumberSlider
          field="temperature"
          name="Temperature"
          show={(value) => (value === 0 ? "0 (greedy)" : fixed(value))}
        />
        <NumberSlider field="max_tokens" name="Max tokens" show={String} />
      </div>
    </div>
  );
}
