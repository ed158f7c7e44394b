// The cost of a deeper draft on this machine: measured times of one pass of the target over 1, 2, 3 … tokens.

import { type AppState, formOf } from "../app/state";
import { useApp } from "../app/useStore";
import type { PassTime } from "../protocol/generated";
import { milliseconds } from "../words/format";
import { acceptanceNote, draftedBy, passWords } from "./passes";

const NONE: readonly PassTime[] = [];
const timesOf = (state: AppState) => state.settings?.pass_times ?? NONE;

export function PassTimes() {
  const measured = useApp(timesOf);
  const drafted = useApp((state) => draftedBy(formOf(state)));
  const plansAll = useApp((state) => formOf(state).policy === "auto");
  const words = useApp((state) => passWords(timesOf(state), formOf(state)));
  if (measured.length === 0) return null;
  const times = measured.toSorted((a, b) => a.tokens - b.tokens);
  const isPlanned = (tokens: number) => (plansAll ? tokens <= drafted + 1 : tokens === drafted + 1);
  const longest = Math.max(...times.map((time) => time.ms));
  return (
    <div className="-mt-1.5 flex items-end gap-3 text-[12px] text-faint">
      <p className="flex-1">{words}</p>
      <div aria-hidden className="flex h-6 items-end gap-px">
        {times.map((time) => (
          <span
            key={time.tokens}
            title={`${time.tokens} tokens: ${milliseconds(time.ms)}`}
            className="w-1 rounded-t-[1px]"
            style={{
              height: `${(100 * time.ms) / longest}%`,
              background: isPlanned(time.tokens) ? "var(--time-verify)" : "var(--line-strong)",
            }}
          />
        ))}
      </div>
    </div>
  );
}

/** For a trained drafter that cannot gain on this machine: its measure is acceptance. */
export function AcceptanceNote() {
  const text = useApp((state) => {
    const { play } = state;
    return acceptanceNote(timesOf(state), formOf(state), play?.source === "live" ? play.full : null);
  });
  return text && <p className="mt-1 text-[12px] text-soft">{text}</p>;
}
