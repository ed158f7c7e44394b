// The policy that plans the rounds. It cannot change during a run.
import { formOf, isRunning } from "../app/state";
import { useApp, useStore } from "../app/useStore";
import { Segments } from "../ui/Segments";
import { POLICIES, policyHelp } from "../words/policies";

const SEGMENTS = POLICIES.map(({ name, help }) => ({ value: name, name, help }));

export function PolicyChoice() {
  const store = useStore();
  const policy = useApp((state) => formOf(state).policy);
  const running = useApp(isRunning);
  return (
    <div className="text-[13px]">
      <div className="flex items-center justify-between gap-3">
        <span className="text-soft" title={running ? "The policy cannot change during a run" : undefined}>
          Policy
        </span>
        <Segments
          label="Policy"
          segments={SEGMENTS}
          value={policy}
          disabled={running}
          onChoose={(chosen) => store.choose({ policy: chosen })}
        />
      </div>
      <p className="mt-1 text-[12px] text-faint">{policyHelp(policy)}</p>
    </div>
  );
}
