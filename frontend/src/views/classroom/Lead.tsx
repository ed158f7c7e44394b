// What the presenter does: show the link, let the models decode an answer, show the decisions, go on.

import { useId, useState } from "react";
import type { ClassroomStore } from "../../app/classroom";
import { addressOf } from "../../app/places";
import { clampSeed, LARGEST_SEED } from "../../app/seed";
import { formOf } from "../../app/state";
import { useApp, useStore } from "../../app/useStore";
import { DrafterMenu } from "../../controls/DrafterMenu";
import { NumberSlider } from "../../controls/NumberSlider";
import { PromptBox } from "../../controls/PromptBox";
import { useObstacle } from "../../controls/useObstacle";
import type { ClassroomView } from "../../protocol/generated";
import { Coded } from "../../ui/Coded";
import { linkWords } from "../../words/classroom";
import { fixed } from "../../words/format";
import "../../controls/controls.css";

interface Props {
  readonly room: ClassroomStore;
  readonly view: ClassroomView;
}

export function Lead({ room, view }: Props) {
  const { phase } = view;
  const playing = phase === "betting" || phase === "revealed";
  return (
    <section aria-label="For the presenter" className="classroom-lead-box">
      <p className="classroom-link">
        <a href={addressOf("classroom")}>{location.origin + addressOf("classroom")}</a>
        <span className="classroom-note">
          <Coded text={linkWords(location.hostname)} />
        </span>
      </p>
      <div className="classroom-actions">
        {phase === "betting" && (
          <button type="button" className="run-button" onClick={room.reveal}>
            Show the decisions
          </button>
        )}
        {phase === "revealed" && (
          <button type="button" className="run-button" onClick={room.next}>
            {view.round < view.rounds ? "Next round" : "End of the answer"}
          </button>
        )}
        <button type="button" className="classroom-button" onClick={() => room.close()}>
          Close the classroom
        </button>
      </div>
      <details open={!playing}>
        <summary>{playing ? "Another prompt" : "Prompt"}</summary>
        <Answer room={room} busy={phase === "preparing"} />
      </details>
    </section>
  );
}

const DEPTHS = [2, 3, 4, 5, 6, 8];
const USUAL_DEPTH = 4;
const MOST_TOKENS = 96;

/** The prompt and the settings of the next answer. */
function Answer({ room, busy }: { room: ClassroomStore; busy: boolean }) {
  const id = useId();
  const store = useStore();
  const [k, setK] = useState(USUAL_DEPTH);
  const [chosen, setChosen] = useState<string | null>(null);
  const settings = useApp((state) => state.settings);
  const obstacle = useObstacle();
  const drafters = settings?.drafters.filter(({ available }) => available) ?? [];
  // A draft model drafts in every round, so there is always something to bet on.
  const drafter = chosen ?? drafters.find(({ name }) => name === "model")?.name ?? drafters[0]?.name ?? null;
  const prepare = () => {
    const { prompt, numbers } = formOf(store.get());
    const seed = clampSeed(Math.random() * LARGEST_SEED);
    room.prepare({ prompt, k, temperature: numbers.temperature, max_tokens: MOST_TOKENS, seed, drafter });
  };
  const blocked = busy || obstacle !== null;
  return (
    <div className="classroom-answer">
      <PromptBox onSubmit={() => !blocked && prepare()} />
      <div className="classroom-settings">
        <NumberSlider
          field="temperature"
          name="Temperature"
          show={(value) => (value === 0 ? "0 (greedy)" : fixed(value))}
        />
        <label htmlFor={`${id}k`}>
          Drafted tokens a round
          <select
            id={`${id}k`}
            className="select-box"
            value={k}
            onChange={(event) => setK(Number(event.target.value))}
          >
            {DEPTHS.map((depth) => (
              <option key={depth} value={depth}>
                {depth}
              </option>
            ))}
          </select>
        </label>
        <label htmlFor={`${id}d`}>
          Drafter
          <DrafterMenu id={`${id}d`} drafters={drafters} chosen={drafter ?? null} onChoose={setChosen} />
        </label>
        <button
          type="button"
          className="run-button"
          aria-disabled={blocked}
          onClick={() => !blocked && prepare()}
        >
          {busy ? "Decoding…" : "Decode an answer"}
        </button>
        {obstacle !== null && <p className="classroom-note">{obstacle}</p>}
      </div>
    </div>
  );
}
