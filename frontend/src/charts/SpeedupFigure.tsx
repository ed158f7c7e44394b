// What speculation gained, and against what.
import { RadioGroup } from "radix-ui";
import { exactnessOf } from "../run/exactness";
import type { Run } from "../run/model";
import { HelpTooltip } from "../ui/HelpTooltip";
import { fixed } from "../words/format";
import { type BaselineKind, isVerified, type Speedup, speedupOf } from "./speedup";

const MEASURED =
  "Both are measured, never computed from a formula. Time spent only on what is shown here counts against speculation.";
const HELP = `Tokens per second with speculation, divided by tokens per second of the same target decoding alone on this machine. ${MEASURED}`;
const REMOTE_HELP = `Tokens per second with speculation, divided by tokens per second of the same target decoding alone: in one streaming call, which is what speculation has to beat, or with one call for every token. ${MEASURED}`;
const WAYS: readonly { value: BaselineKind; name: string; help: string }[] = [
  { value: "streaming", name: "streaming", help: "Against the target alone in one streaming call" },
  { value: "per_call", name: "per call", help: "Against the target alone, one call for every token" },
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
  const plainWay = remote
    ? "Runs the same prompt with the target alone, one call per token, and takes its speed as that baseline"
    : "Runs the same prompt with the target alone, and takes its speed as the baseline";
  return (
    <section className="db-speedup" aria-label="Speedup">
      <h3>
        <HelpTooltip help={remote ? REMOTE_HELP : HELP}>Speedup</HelpTooltip>
      </h3>
      <p className="db-large">{speedup.kind === "figure" ? `${fixed(speedup.speedup)}×` : "–"}</p>
      <Sentence speedup={speedup} />
      {exactnessOf(run)?.label === "lossy" && (
        <p className="db-baseline">Lossy: this text is not distributed as the target’s.</p>
      )}
      {remote && verified && <Switch baselineKind={baselineKind} onBaselineKind={onBaselineKind} />}
      {verified && onMeasurePlain && (
        <button type="button" className="db-button" onClick={onMeasurePlain} title={plainWay}>
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

function Switch({
  baselineKind,
  onBaselineKind,
}: {
  baselineKind: BaselineKind;
  onBaselineKind(baselineKind: BaselineKind): void;
}) {
  return (
    <RadioGroup.Root
      className="db-segments"
      orientation="horizontal"
      aria-label="Speedup against"
      value={baselineKind}
      onValueChange={(value) => onBaselineKind(value as BaselineKind)}
    >
      {WAYS.map(({ value, name, help }) => (
        <RadioGroup.Item key={value} value={value} className="db-segment" title={help}>
          {name}
        </RadioGroup.Item>
      ))}
    </RadioGroup.Root>
  );
}
