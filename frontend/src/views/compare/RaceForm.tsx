// The prompt, the lanes, and the button that starts a race.
import { Play, Plus, Square } from "lucide-react";
import { lanesOf, withOneMore } from "../../app/lanes";
import type { Repeats, Running } from "../../app/race";
import { formOf } from "../../app/state";
import { useRace, useRaceStore } from "../../app/useRace";
import { useApp, useStore } from "../../app/useStore";
import { NumberSlider } from "../../controls/NumberSlider";
import { PromptBox } from "../../controls/PromptBox";
import { useObstacle } from "../../controls/useObstacle";
import type { LaneSettings } from "../../run/race";
import { LEAST_LANES, MOST_LANES } from "../../run/race";
import { type Segment, Segments } from "../../ui/Segments";
import { fixed } from "../../words/format";
import { laneName, raceProgress } from "../../words/race";
import { LaneEditor } from "./LaneEditor";
import "../../controls/controls.css";

const REPEATS: readonly Segment<"1" | "3">[] = [
  { value: "1", name: "once", help: "One run for each lane" },
  { value: "3", name: "3 times", help: "Three runs for each lane: median and range are shown" },
];
/** So that all lanes draw with the same numbers. */
const RACE_SEED = 1;

function useStart(lanes: readonly LaneSettings[]): () => void {
  const store = useStore();
  const race = useRaceStore();
  const obstacle = useObstacle();
  return () => {
    const { prompt, rule, seed, numbers } = formOf(store.get());
    if (obstacle !== null || prompt.trim() === "") return;
    const { max_tokens, temperature, top_p, top_k, min_p } = numbers;
    race.start(lanes, {
      ...{ prompt, rule, max_tokens, temperature, top_p, top_k, min_p },
      seed: seed ?? RACE_SEED,
    });
  };
}

export function RaceForm() {
  const race = useRaceStore();
  const settings = useApp((state) => state.settings);
  const chosen = useRace((state) => state.chosen);
  const repeats = useRace((state) => state.repeats);
  const lanes = lanesOf(chosen, settings);
  const start = useStart(lanes);
  const change = (at: number, lane: LaneSettings) =>
    race.choose(lanes.map((old, i) => (i === at ? lane : old)));
  return (
    <section aria-label="Settings of the race" className="race-form">
      <div className="race-prompt">
        <PromptBox onSubmit={start} />
        <div className="race-sliders">
          <NumberSlider
            field="temperature"
            name="Temperature"
            show={(value) => (value === 0 ? "0 (greedy)" : fixed(value))}
          />
          <NumberSlider field="max_tokens" name="Max tokens" show={String} />
        </div>
      </div>
      <div className="race-lanes">
        {lanes.map((lane, at) => (
          <LaneEditor
            // biome-ignore lint/suspicious/noArrayIndexKey: a lane is its number
            key={at}
            number={at + 1}
            lane={lane}
            onChange={(next) => change(at, next)}
            onRemove={lanes.length > LEAST_LANES ? () => race.choose(lanes.filter((_, i) => i !== at)) : null}
          />
        ))}
        {lanes.length < MOST_LANES && (
          <button
            type="button"
            className="race-button"
            onClick={() => race.choose(withOneMore(lanes, settings))}
          >
            <Plus size={14} aria-hidden /> Add a lane
          </button>
        )}
        <div className="race-repeats">
          <span className="text-soft">Each lane runs</span>
          <Segments
            label="Runs for each lane"
            segments={REPEATS}
            value={`${repeats}`}
            onChoose={(value) => race.setRepeats(Number(value) as Repeats)}
          />
        </div>
        <StartButton onStart={start} />
      </div>
    </section>
  );
}

function StartButton({ onStart }: { onStart(): void }) {
  const race = useRaceStore();
  const running = useRace((state) => state.running);
  const notice = useRace((state) => state.notice);
  const obstacle = useObstacle();
  const empty = useApp((state) => state.choices.prompt.trim() === "");
  const reason = obstacle ?? (empty ? "Write a prompt, or choose an example." : null);
  return (
    <div>
      {running ? (
        <button type="button" className="run-button stop" onClick={() => race.stop()}>
          <Square size={14} fill="currentColor" aria-hidden /> Stop the race
        </button>
      ) : (
        <button
          type="button"
          className="run-button"
          aria-disabled={reason !== null}
          aria-describedby={reason === null ? undefined : "race-obstacle"}
          onClick={onStart}
        >
          <Play size={15} fill="currentColor" aria-hidden /> Start the race
        </button>
      )}
      {!running && reason !== null && (
        <p id="race-obstacle" className="race-note">
          A race needs a server with loaded models. {reason}
        </p>
      )}
      <p role="status" className="race-note">
        {running && progressOf(running)}
      </p>
      {notice && (
        <p role="alert" className="race-note is-notice">
          <b>{notice.message}</b> {notice.hint}
        </p>
      )}
    </div>
  );
}

function progressOf({ lanes, turns, done, run }: Running): string {
  const turn = turns[done];
  const lane = turn && lanes[turn.lane];
  return lane ? raceProgress(laneName(lane), done, turns.length, run) : "";
}
