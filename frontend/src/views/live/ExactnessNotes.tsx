// Notes of the exactness popover: the noise floor, and where a greedy text departs from plain decoding.
import { useApp } from "../../app/useStore";
import type { Departure, NoiseFloor } from "../../protocol/generated";
import { aboutFloor, causeWords, departureWords, floorWords } from "../../words/noise";

/** Where the greedy text departs from plain decoding; null if it does not, or if that is unknown. */
export const useDeparture = (): Departure | null =>
  useApp((state) => state.play?.full.done?.departure ?? null);

/** As it was measured when the run began; before a run, the server's latest. */
export const useNoiseFloor = (): NoiseFloor | null =>
  useApp((state) => {
    const started = state.play?.full.started;
    return (started ? started.noise_floor : state.health?.noise_floor) ?? null;
  });

export function DepartureNote() {
  const departure = useDeparture();
  const floor = useNoiseFloor();
  if (!departure) return null;
  return (
    <p>
      <strong>Departure.</strong> {departureWords(departure)} {causeWords(departure, floor)}
    </p>
  );
}

export function NoiseNote() {
  const floor = useNoiseFloor();
  const isRemote = useApp((state) => (state.play?.full.started ?? state.health)?.remote != null);
  return (
    <p>
      <strong>Noise floor.</strong> “Exact” is with respect to the scores that the target returns.{" "}
      {aboutFloor(floor)} {floorWords(floor, isRemote)}
    </p>
  );
}
