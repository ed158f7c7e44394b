// The text of the run, token by token.

import { useApp } from "../../app/useStore";
import { emptyRun } from "../../run/reducer";
import { emittedCount, tokenByKey } from "../../run/selectors";
import { CopyText } from "./CopyText";
import { EmptyText } from "./EmptyText";
import "./text.css";
import { useState } from "react";
import { TextFlow } from "./TextFlow";
import { TokenDetail } from "./TokenDetail";

export function TextPanel() {
  const run = useApp((state) => state.play?.shown ?? emptyRun);
  const selected = useApp((state) => state.selected);
  const [showRejected, setShowRejected] = useState(false);
  const token = tokenByKey(run, selected);
  const count = emittedCount(run);
  return (
    <section aria-label="Text" id="text" className="text-panel" tabIndex={-1}>
      <div className="flex flex-wrap items-center gap-x-3 px-4 pt-2 pb-1 text-[12px] text-soft">
        <h2 className="panel-title">Text</h2>
        {count > 0 && (
          <>
            <span className="figures">
              {count} {count === 1 ? "token" : "tokens"}
            </span>
            <label className="ml-auto flex cursor-pointer items-center gap-1.5">
              <input
                type="checkbox"
                className="accent-(--accent)"
                checked={showRejected}
                onChange={(event) => setShowRejected(event.target.checked)}
              />
              show rejected
            </label>
            <CopyText run={run} />
          </>
        )}
      </div>
      <div className="text-body">
        {run.rounds.length === 0 ? (
          <EmptyText run={run} />
        ) : (
          <TextFlow run={run} showRejected={showRejected} />
        )}
        {token && <TokenDetail run={run} token={token} />}
      </div>
    </section>
  );
}
