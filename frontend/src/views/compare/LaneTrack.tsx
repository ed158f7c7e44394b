// The rounds of a lane on the clock of the race: one line per round at its end, as high as it brought tokens.
import { memo, useMemo } from "react";
import { useRace } from "../../app/useRace";
import type { Lane } from "../../run/race";

const HEIGHT = 28;
const WIDTH = 1000;
/** The number of tokens of a round that gives the full height. */
const HIGHEST = 6;

interface Props {
  readonly lane: Lane;
  /** The time at the right edge. */
  readonly scaleMs: number;
}

export function LaneTrack({ lane, scaleMs }: Props) {
  const ms = useRace(({ clock }) => Math.min(clock.ms, lane.ms));
  const part = (value: number) => `${(100 * value) / scaleMs}%`;
  return (
    <div aria-hidden className="lane-track">
      <Rounds lane={lane} scaleMs={scaleMs} />
      {/* What has not happened yet at the shown time is pale. */}
      <span className="lane-later" style={{ left: part(ms) }} />
      <span className="lane-head" style={{ left: part(ms) }} />
      {lane.allMs.length > 1 && (
        <>
          <span
            className="lane-range"
            style={{ left: part(lane.leastMs), width: part(lane.mostMs - lane.leastMs) }}
          />
          {lane.allMs.map((end, repeat) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a run is its repetition
            <span key={repeat} className="lane-run" style={{ left: part(end) }} />
          ))}
        </>
      )}
    </div>
  );
}

const Rounds = memo(function Rounds({ lane, scaleMs }: Props) {
  const path = useMemo(() => {
    let before = 0;
    return lane.arrivals
      .map(({ ms, tokens }) => {
        const height = HEIGHT * Math.min(1, (tokens - before) / HIGHEST);
        before = tokens;
        return `M${((WIDTH * ms) / scaleMs).toFixed(1)} ${HEIGHT}v${(-height).toFixed(1)}`;
      })
      .join("");
  }, [lane, scaleMs]);
  return (
    <svg aria-hidden viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
      <path d={path} />
    </svg>
  );
});
