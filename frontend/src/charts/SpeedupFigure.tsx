// The speedup and its baseline.
import { exactnessOf } from "../run/exactness";
import type { Run } from "../run/model";
import { HelpTooltip } from "../ui/HelpTooltip";
import { type Segment, Segments } from "../ui/Segments";
import { fixed } from "../words/format";
import { type BaselineKind, isVerified, type Speedup, speedupOf } from "./speedup";

const MEASURED =
  "Both are measured, never computed from a formula. Time that is spent only for display counts against speculation.";
const HELP = `Tokens per second with speculation / tokens per second of plain decoding: the same target alone on this machine. ${MEASURED}`;
const REMOTE_HELP = `Tokens per second with speculation / tokens per second of plain decoding: the same target alone, in one streaming call, which is harder to beat, or with one call for each token. ${MEASURED}`;
const BASELINES: readonly Segment<BaselineKind>[] = [
  { value: "streaming", name: "streaming", help: "Relative to the target alone in one streaming call" },
  { value: "per_call", name: "per call", help: "Relative to the target alone, with one call for each token" },
];

interface Props {
  readonly run: Run;
  readonly baselineKind: BaselineKind;
  onBaselineKind(baselineKind: BaselineKind): void;
  readonly onMeasurePlain: (() => void) | null;
}

export function SpeedupFigure({ run, baselineKind, onBaselineKind, onMeasurePlain }: Props) {
  const speedup = speedupOf(run, baselineKind);
  const remote = run.started?.remote != null;
  const verified = isVerified(run);
  const plainHelp = remote
    ? "Runs the same prompt with the target alone, with one call per token. Its speed becomes that baseline"
    : "Runs the same prompt with the target alone. Its speed becomes the baseline";
  return (
    <section className="db-speedup" aria-label="Speedup">
      <h3>
        <HelpTooltip help={remote ? REMOTE_HELP : HELP}>Speedup</HelpTooltip>
      </h3>
      <p className="db-large">{speedup.kind === "figure" ? `${fixed(speedup.speedup)}×` : "–"}</p>
      <Sentence speedup={speedup} />
      {exactnessOf(run)?.label === "lossy" && (
        <p className="db-baseline">Lossy: the distribution of this text is not the target’s.</p>
      )}
      {remote && verified && (
        <Segments
          label="Baseline of the speedup"
          segments={BASELINES}
          value={baselineKind}
          onChoose={onBaselineKind}
        />
      )}
      {verified && onMeasurePlain && (
        <button type="button" className="db-button" onClick={onMeasurePlain} title={plainHelp}>
          Measure plain now
        </button>
      )}
    </section>
  );
}

function Sentence({ speedup }: { speedup: Speedup }) {
  return (
    <p className="db-baseline">
      {speedup.kind === "figure" ? (
        <>
          <b>{fixed(speedup.tps, 1)}</b> tok/s against <b>{fixed(speedup.baselineTps, 1)}</b> {speedup.words},{" "}
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
  );
}
