// Errors, and the warnings of the shown run. Each region is live and not atomic: only new notices are announced.
import { useApp, useStore } from "../../app/useStore";
import { remaining, type Warnings } from "../../run/warnings";
import { NoticeBar } from "./NoticeBar";

const NONE: Warnings = [];

export function Notices() {
  const store = useStore();
  const notices = useApp((state) => state.notices);
  return (
    <>
      <div role="alert" aria-atomic={false} aria-label="Notices">
        {notices.map(({ id, message, hint }) => (
          <NoticeBar key={id} message={message} hint={hint} onDismiss={() => store.dismiss(id)} />
        ))}
      </div>
      <RunWarnings />
    </>
  );
}

/** The run goes on, so a screen reader announces them after its current text. */
function RunWarnings() {
  const store = useStore();
  const received = useApp((state) => state.play?.shown.warnings ?? NONE);
  const dismissed = useApp((state) => state.dismissed);
  return (
    <div role="log" aria-atomic={false} aria-label="Warnings of the run">
      {remaining(received, dismissed).map((warning) => (
        <NoticeBar
          key={`${warning.message}\n${warning.hint}`}
          message={`Round ${warning.round + 1}: ${warning.message}`}
          hint={warning.hint}
          onDismiss={() => store.dismissWarning(warning)}
        />
      ))}
    </div>
  );
}
