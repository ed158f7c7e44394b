// The text panel before the first token.

import { hasServer, isReady } from "../../app/state";
import { useApp, useStore } from "../../app/useStore";
import type { Run } from "../../run/model";

const READY = "Choose an example or write a prompt, then generate.";
const LOADING = "You can write a prompt while the models load.";

export function EmptyText({ run }: { run: Run }) {
  const store = useStore();
  const ready = useApp(isReady);
  const server = useApp(hasServer);
  const hasRun = useApp((state) => state.play !== null);
  if (run.failure) return <p className="p-4 text-soft">This run failed: {run.failure.message}</p>;
  if (hasRun) return <p className="text-caret" aria-hidden />;
  return (
    <div className="max-w-[56ch] space-y-2 p-4 text-[13px] text-soft">
      <p>
        A cheap drafter proposes tokens. The target model verifies all of them in one pass, so that the output
        has its own distribution. {server && (ready ? READY : LOADING)}
      </p>
      <button
        type="button"
        className="font-medium text-accent hover:underline"
        onClick={() => void store.watchRecording()}
      >
        Watch a recorded run
      </button>
    </div>
  );
}
