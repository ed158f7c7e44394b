// The time of one round by part, measured, above the time that the target alone needs for the same tokens, computed.
import type { Round } from "../../run/model";
import { type TimePart, timeParts } from "../../run/times";
import type { Step } from "../../run/walk";
import { PART_NAMES, timeWords } from "../../words/learn/round";

interface Props {
  readonly round: Round;
  readonly step: Step | null;
  /** Tokens per second of the target alone; null if it was not measured. */
  readonly plainTps: number | null;
}

/** The part of the time in which a step happens. */
const PART_OF: Readonly<Record<Step["kind"], TimePart | null>> = {
  start: null,
  draft: "draft",
  pass: "verify",
  test: "verify",
  extra: "verify",
  keep: null,
};

export function RoundTime({ round, step, plainTps }: Props) {
  if (!round.metrics) return null;
  const { round_ms: roundMs } = round.metrics;
  const plainMs = plainTps === null ? null : (1000 * round.emitted.length) / plainTps;
  const share = (ms: number): string => `${(100 * ms) / Math.max(roundMs, plainMs ?? 0)}%`;
  const parts = timeParts(round.metrics).filter(({ ms }) => ms > 0);
  const current = step && PART_OF[step.kind];
  return (
    <>
      <div className="round-time" role="img" aria-label={timeWords(round, plainMs)}>
        <span>this round, measured</span>
        <span className="round-track">
          {parts.map(({ part, ms }) => (
            <i
              key={part}
              className={`is-${part}`}
              data-current={part === current || undefined}
              style={{ width: share(ms) }}
            />
          ))}
        </span>
        {plainMs !== null && (
          <>
            <span>the target alone, computed</span>
            <span className="round-track">
              <i className="is-plain" style={{ width: share(plainMs) }} />
            </span>
          </>
        )}
      </div>
      <ul className="learn-key">
        {[...new Set(parts.map(({ part }) => (part === "evidence" ? "other" : part)))].map((part) => (
          <li key={part} className="round-track">
            <i className={`is-${part}`} aria-hidden /> {PART_NAMES[part]}
          </li>
        ))}
      </ul>
    </>
  );
}
