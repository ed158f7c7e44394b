// Whether speculation pays in the shown run, with the arithmetic: tokens of a round ÷ time of a round in plain passes.
import { exactnessOf } from "../run/exactness";
import type { Run } from "../run/model";
import { notedPasses, UNLIKE, type UnlikePasses, unlikePasses } from "../run/unlike";
import { type BaselineKind, bestLever, judgedRounds, type Verdict, verdictOf } from "../run/verdict";
import { HelpGroup } from "../ui/HelpGroup";
import { HelpTooltip } from "../ui/HelpTooltip";
import { type Segment, Segments } from "../ui/Segments";
import { fixed } from "../words/format";
import { arithmetic, isComputed, leverWords, paysOf, sharedWords } from "../words/pays";
import { notedWords, unlikeWords } from "../words/unlike";
import { CostBar } from "./CostBar";
import { isVerified, type Speedup, speedupOf } from "./speedup";
import "./charts.css";
import "./verdict.css";

const MEASURED =
  "Both are measured, never computed from a formula. Time that is spent only for display counts against speculation.";
const HELP = `Tokens per second with speculation / tokens per second of plain decoding: the same target alone on this machine. ${MEASURED}`;
const REMOTE_HELP = `Tokens per second with speculation / tokens per second of plain decoding: the same target alone, in one streaming call, which is harder to beat, or with one call for each token. ${MEASURED}`;
const UNLIKE_HELP = `The time of a pass of the target depends on what else uses the processor, such as the drawing of this page. If it differs by a factor of ${fixed(UNLIKE, 1)} or more between the run and its baseline, a speedup would compare the loads, not the ways of decoding.`;
const NOTED_HELP =
  "The time of a pass of the target depends on what else uses the processor, such as the drawing of this page, and on the length of the text. A plain run of this prompt, measured now, has the same load and the same length.";
const LEVER_HELP =
  "Computed, not measured: the same rounds with shorter drafts, by this run's accepted tokens and the measured times of passes over fewer tokens.";
const BASELINES: readonly Segment<BaselineKind>[] = [
  { value: "streaming", name: "streaming", help: "Relative to the target alone in one streaming call" },
  { value: "per_call", name: "per call", help: "Relative to the target alone, with one call for each token" },
];

interface Props {
  readonly run: Run;
  readonly baselineKind: BaselineKind;
  onBaselineKind(baselineKind: BaselineKind): void;
  /** Null where no plain run can start now. */
  readonly onMeasurePlain: (() => void) | null;
  /** How far the plain run is that measures the baseline; null without one. */
  readonly measuring: string | null;
}

export function VerdictStrip(props: Props) {
  const { run, baselineKind, onBaselineKind } = props;
  const speedup = speedupOf(run, baselineKind);
  const unlike = speedup.kind === "figure" ? unlikePasses(run, speedup.baselineTps) : null;
  const verdict = speedup.kind === "figure" && !unlike ? verdictOf(run, speedup.baselineTps) : null;
  const remote = run.started?.remote != null;
  return (
    <HelpGroup>
      <section
        className="verdict"
        aria-label="Speedup"
        data-figure
        data-pays={verdict ? paysOf(verdict.speedup) : undefined}
        data-unlike={unlike ? true : undefined}
      >
        {speedup.kind === "figure" && !unlike ? (
          <p className="verdict-large">{fixed(speedup.speedup)}×</p>
        ) : (
          <p className="verdict-none">{run.done ? "No verdict" : "No verdict yet"}</p>
        )}
        <div className="verdict-words">
          <p>
            {verdict && (
              <>
                <HelpTooltip help={remote ? REMOTE_HELP : HELP}>
                  <b>{paysOf(verdict.speedup)}</b>
                </HelpTooltip>
                : {arithmetic(verdict)}.{" "}
              </>
            )}
            {verdict && speedup.kind === "figure" && (
              <LeverNote run={run} verdict={verdict} plainTps={speedup.baselineTps} />
            )}
            {unlike && <UnlikeNote {...props} unlike={unlike} />}
            {verdict && speedup.kind === "figure" && (
              <LoadNote {...props} noted={notedPasses(run, speedup.baselineTps)} />
            )}
            <SharedNote run={run} />
            {exactnessOf(run)?.label === "lossy" &&
              "Lossy: the distribution of this text is not the target’s."}
          </p>
          <div className="verdict-basis">
            <Basis speedup={speedup} />
            <Measure {...props} remote={remote} urgent={unlike !== null} />
            {remote && isVerified(run) && (
              <Segments
                label="Baseline of the speedup"
                segments={BASELINES}
                value={baselineKind}
                onChoose={onBaselineKind}
              />
            )}
          </div>
        </div>
        {verdict && <CostBar verdict={verdict} />}
      </section>
    </HelpGroup>
  );
}

/** Why the large figure is missing, and the way to one. */
function UnlikeNote({ run, onMeasurePlain, unlike }: Props & { unlike: UnlikePasses }) {
  const wasMeasured = run.started?.baseline?.age_s === 0; // after the run, by a plain run of its prompt
  const lead = wasMeasured
    ? "The load changed between the two runs: generate again."
    : "Measure plain now: that run is drawn as this one was.";
  return (
    <>
      <HelpTooltip help={UNLIKE_HELP}>
        <b>not comparable</b>
      </HelpTooltip>
      : {unlikeWords(unlike)} {onMeasurePlain && <span className="verdict-lead">{lead} </span>}
    </>
  );
}

/** What of the large figure is load, where it is enough to say so. */
function LoadNote({ onMeasurePlain, noted }: Props & { noted: UnlikePasses | null }) {
  if (!noted) return null;
  return (
    <>
      {notedWords(noted)}{" "}
      {onMeasurePlain && (
        <HelpTooltip help={NOTED_HELP}>A plain run of this prompt compares under equal load.</HelpTooltip>
      )}{" "}
    </>
  );
}

function SharedNote({ run }: { run: Run }) {
  const rounds = judgedRounds(run);
  const words = sharedWords(rounds.filter(({ runs }) => runs > 1).length, rounds.length);
  return words === "" ? null : <b>{words} </b>;
}

function LeverNote({ run, verdict, plainTps }: { run: Run; verdict: Verdict; plainTps: number }) {
  const words = leverWords(verdict, bestLever(run, plainTps));
  if (words === "") return null;
  return (
    <span className="verdict-lever">
      {words} {isComputed(words) && <HelpTooltip help={LEVER_HELP}>computed</HelpTooltip>}
    </span>
  );
}

function Basis({ speedup }: { speedup: Speedup }) {
  const speed = speedup.tps !== null && <b>{fixed(speedup.tps, 1)}</b>;
  if (speedup.kind === "none") {
    return (
      <span>
        {speed}
        {speed && " tok/s; "}
        {speedup.reason}
      </span>
    );
  }
  return (
    <span>
      {speed} tok/s against <b>{fixed(speedup.baselineTps, 1)}</b> {speedup.words}, {speedup.basis}
    </span>
  );
}

interface MeasureProps extends Props {
  readonly remote: boolean;
  /** Whether there is no verdict without it. */
  readonly urgent: boolean;
}

function Measure({ run, remote, urgent, onMeasurePlain, measuring }: MeasureProps) {
  if (measuring !== null) return <span className="verdict-measuring">{measuring}</span>;
  if (!isVerified(run) || !onMeasurePlain) return null;
  const help = remote
    ? "Runs this prompt with the target alone, with one call per token, and judges this run by it"
    : "Runs this prompt with the target alone, drawn as this run was, and judges this run by it";
  return (
    <button
      type="button"
      className={urgent ? "db-button is-urgent" : "db-button"}
      onClick={onMeasurePlain}
      title={help}
    >
      Measure plain now
    </button>
  );
}
