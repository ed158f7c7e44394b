// What a deeper draft costs on this machine: measured times of one pass of the target over 1, 2, 3 … tokens.
import type { PassTime } from "../protocol/generated";
import { fixed, milliseconds } from "../state/format";
import { formOf } from "../state/store";
import { useApp } from "../state/useStore";

/** How many single passes a pass over a draft and the token before it costs; null unless both were measured. */
export function passRatio(times: readonly PassTime[], drafted: number): number | null {
  const single = times.find((time) => time.tokens === 1);
  const batch = times.find((time) => time.tokens === drafted + 1);
  return single && batch && single.ms > 0 ? batch.ms / single.ms : null;
}

const NONE: readonly PassTime[] = [];

export function PassTimes() {
  const measured = useApp((state) => state.settings?.pass_times ?? NONE);
  const drafted = useApp((state) => Math.max(formOf(state).numbers.k, formOf(state).numbers.nodes));
  const ratio = passRatio(measured, drafted);
  if (measured.length === 0) return null;
  const times = measured.toSorted((a, b) => a.tokens - b.tokens);
  const longest = Math.max(...times.map((time) => time.ms));
  return (
    <div className="-mt-1.5 flex items-end gap-3 text-[12px] text-faint">
      <p className="flex-1">
        {ratio === null
          ? `Checking ${drafted + 1} tokens at once has not been measured yet.`
          : `Checking ${drafted + 1} tokens at once costs ${fixed(ratio, 1)} times one, measured.`}
      </p>
      <div aria-hidden className="flex h-6 items-end gap-px">
        {times.map((time) => (
          <span
            key={time.tokens}
            title={`${time.tokens} tokens: ${milliseconds(time.ms)}`}
            className="w-1 rounded-t-[1px]"
            style={{
              height: `${(100 * time.ms) / longest}%`,
              background: time.tokens === drafted + 1 ? "var(--time-verify)" : "var(--line-strong)",
            }}
          />
        ))}
      </div>
    </div>
  );
}
