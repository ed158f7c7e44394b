// What speculation gained, and against what.
import { fixed } from "../state/format";
import type { Run } from "../state/model";
import { Explain } from "../viz/Explain";
import { speedupOf } from "./select";

const HELP =
  "Tokens per second with speculation, divided by tokens per second of the same target decoding alone on this machine. Both are measured, never computed from a formula. Time spent only on what is shown here counts against speculation.";

interface Props {
  readonly run: Run;
  readonly onMeasurePlain: (() => void) | null;
}

export function SpeedupFigure({ run, onMeasurePlain }: Props) {
  const speedup = speedupOf(run);
  return (
    <section className="db-speedup" aria-label="Speedup">
      <h3>
        <Explain help={HELP}>Speedup</Explain>
      </h3>
      <p className="db-large">{speedup.kind === "figure" ? `${fixed(speedup.speedup)}×` : "–"}</p>
      <p className="db-against">
        {speedup.kind === "figure" ? (
          <>
            <b>{fixed(speedup.tps, 1)}</b> tok/s against <b>{fixed(speedup.plainTps, 1)}</b> plain,{" "}
            {speedup.basis}
          </>
        ) : (
          <>
            {speedup.tps !== null && (
              <>
                <b>{fixed(speedup.tps, 1)}</b> tok/s;{" "}
              </>
            )}
            {speedup.reason}
          </>
        )}
      </p>
      {onMeasurePlain && (
        <button
          type="button"
          className="db-button"
          onClick={onMeasurePlain}
          title="Runs the same prompt with the target alone, and takes its speed as the baseline"
        >
          Measure plain now
        </button>
      )}
    </section>
  );
}
