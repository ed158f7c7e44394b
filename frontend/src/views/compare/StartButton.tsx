// Starts and stops a race or a sweep, and states how far it is.
import { Play, Square } from "lucide-react";
import { useId } from "react";
import type { RaceState } from "../../app/race";
import { useRace, useSweep } from "../../app/useRace";
import { useApp } from "../../app/useStore";
import { useObstacle } from "../../controls/useObstacle";

interface Props {
  readonly what: "race" | "sweep";
  /** How far it is; empty while nothing runs. */
  readonly progress: string;
  readonly notice: RaceState["notice"];
  /** A reason of its own why it cannot start; null without one. */
  readonly obstacle?: string | null;
  onStart(): void;
  onStop(): void;
}

/** Why a race or a sweep cannot start now; null if it can. The server computes one run at a time. */
export function useReason(what: Props["what"]): string | null {
  const obstacle = useObstacle();
  const empty = useApp((state) => state.choices.prompt.trim() === "");
  const racing = useRace((state) => state.running !== null);
  const sweeping = useSweep((state) => state.running !== null);
  if (obstacle !== null) return obstacle;
  if (empty) return "Write a prompt, or choose an example.";
  if (what === "race" ? sweeping : racing)
    return `Wait for the end of the ${what === "race" ? "sweep" : "race"}.`;
  return null;
}

export function StartButton({ what, progress, notice, obstacle = null, onStart, onStop }: Props) {
  const id = useId();
  const reason = useReason(what) ?? obstacle;
  const running = progress !== "";
  return (
    <div>
      {running ? (
        <button type="button" className="run-button stop" onClick={onStop}>
          <Square size={14} fill="currentColor" aria-hidden /> Stop the {what}
        </button>
      ) : (
        <button
          type="button"
          className="run-button"
          aria-disabled={reason !== null}
          aria-describedby={reason === null ? undefined : id}
          onClick={() => reason === null && onStart()}
        >
          <Play size={15} fill="currentColor" aria-hidden /> Start the {what}
        </button>
      )}
      {!running && reason !== null && (
        <p id={id} className="race-note">
          A {what} needs a server with loaded models. {reason}
        </p>
      )}
      <p role="status" className="race-note">
        {progress}
      </p>
      {notice && (
        <p role="alert" className="race-note is-notice">
          <b>{notice.message}</b> {notice.hint}
        </p>
      )}
    </div>
  );
}
