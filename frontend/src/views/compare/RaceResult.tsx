// The race that ended: its result in words, and its lanes on one clock.
import { Pause, Play, RotateCcw } from "lucide-react";
import { useMemo } from "react";
import { useRace, useRaceStore } from "../../app/useRace";
import { endOf, hasTargets, type Lane, resultsOf } from "../../run/race";
import { FigureMenu } from "../../ui/FigureMenu";
import { Provenance } from "../../ui/provenance";
import { milliseconds } from "../../words/format";
import { measuredTogether } from "../../words/provenance";
import { CLOCK_NOTE, lengthsNote, summaryOf, TARGETS_NOTE, targetOf } from "../../words/race";
import { LaneRoads } from "./LaneRoads";
import { LaneRow } from "./LaneRow";

export function RaceResult({ lanes }: { lanes: readonly Lane[] }) {
  const results = useMemo(() => resultsOf(lanes), [lanes]);
  const prompt = lanes[0]?.run.started?.prompt ?? "";
  const note = lengthsNote(results);
  const several = hasTargets(lanes);
  const targets = several ? [...new Set(lanes.map(targetOf))] : [];
  const scaleMs = Math.max(1, ...lanes.map(({ mostMs }) => mostMs));
  return (
    <Provenance value={measuredTogether("race", lanes[0]?.run.started ?? null, targets)}>
      <div data-figure>
        <div className="race-head">
          <p role="status" className="race-summary">
            {summaryOf(results)}
          </p>
          <FigureMenu title="Race" />
        </div>
        {note !== "" && <p className="race-note">{note}</p>}
        {several && <p className="race-note">{TARGETS_NOTE}</p>}
        <p className="race-asked">
          <span className="sr-only">Prompt: </span>
          {prompt}
        </p>
        <Clock endMs={endOf(lanes)} />
        <ol className="lanes">
          {results.map((result, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a lane is its number
            <li key={at}>
              <LaneRow result={result} at={at} scaleMs={scaleMs} several={several} />
            </li>
          ))}
        </ol>
        <p className="race-note">{CLOCK_NOTE}</p>
      </div>
      <LaneRoads lanes={lanes} />
    </Provenance>
  );
}

function Clock({ endMs }: { endMs: number }) {
  const race = useRaceStore();
  const clock = useRace((state) => state.clock);
  const ended = clock.ms >= endMs;
  const [name, Icon] = clock.playing
    ? (["Pause", Pause] as const)
    : ended
      ? (["Play again", RotateCcw] as const)
      : (["Play", Play] as const);
  return (
    <div className="race-clock" data-figure-skip>
      <button
        type="button"
        className="icon-button"
        aria-label={name}
        title={name}
        onClick={() => (clock.playing ? race.pause() : race.play())}
      >
        <Icon size={17} aria-hidden />
      </button>
      <input
        type="range"
        aria-label="Time of the race"
        aria-valuetext={`${milliseconds(clock.ms)} of ${milliseconds(endMs)}`}
        min={0}
        max={endMs}
        step={Math.max(1, endMs / 100)}
        value={clock.ms}
        onChange={(event) => race.seek(Number(event.target.value))}
      />
      <span className="figures">
        {milliseconds(clock.ms)} of {milliseconds(endMs)}
      </span>
    </div>
  );
}
