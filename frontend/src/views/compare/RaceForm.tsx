// The prompt, the lanes, and the button that starts a race.
import { Plus } from "lucide-react";
import { lanesOf, raceTargets, withOneMore } from "../../app/lanes";
import type { Running } from "../../app/race";
import { useRace, useRaceStore } from "../../app/useRace";
import { useApp, useStore } from "../../app/useStore";
import type { LaneSettings } from "../../run/race";
import { LEAST_LANES, MOST_LANES } from "../../run/race";
import { Coded } from "../../ui/Coded";
import { laneName, raceProgress } from "../../words/race";
import { LaneEditor } from "./LaneEditor";
import { Repeats } from "./Repeats";
import { commonOf, SharedSettings } from "./SharedSettings";
import { StartButton, useReason } from "./StartButton";

export function RaceForm() {
  const store = useStore();
  const race = useRaceStore();
  const settings = useApp((state) => state.settings);
  const chosen = useRace((state) => state.chosen);
  const repeats = useRace((state) => state.repeats);
  const running = useRace((state) => state.running);
  const notice = useRace((state) => state.notice);
  const reason = useReason("race");
  const missing = raceTargets(settings).filter((target) => target.reason !== null);
  const lanes = lanesOf(chosen, settings);
  const start = () => {
    const common = commonOf(store);
    if (reason === null && common) race.start(lanes, common);
  };
  const change = (at: number, lane: LaneSettings) =>
    race.choose(lanes.map((old, i) => (i === at ? lane : old)));
  return (
    <section aria-label="Settings of the race" className="race-form">
      <SharedSettings onSubmit={start} />
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
        {missing.map(({ name, title, reason }) => (
          <p key={name} className="race-note">
            {title}: <Coded text={reason ?? ""} />
          </p>
        ))}
        <Repeats of="lane" value={repeats} onChoose={(value) => race.setRepeats(value)} />
        <StartButton
          what="race"
          progress={running ? progressOf(running) : ""}
          notice={notice}
          onStart={start}
          onStop={() => race.stop()}
        />
      </div>
    </section>
  );
}

export function progressOf({ lanes, turns, done, run }: Running): string {
  const turn = turns[done];
  const lane = turn && lanes[turn.lane];
  return lane ? raceProgress(laneName(lane), done, turns.length, run) : "";
}
