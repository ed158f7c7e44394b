// Asks before a run is deleted: that cannot be undone.
import { AlertDialog } from "radix-ui";
import type { StoredRun } from "../../protocol/generated";
import { moment, runTitle } from "../../words/runs";

interface Props {
  /** The run in question; null without one. */
  readonly run: StoredRun | null;
  onDelete(run: StoredRun): void;
  onKeep(): void;
}

export function DeleteRun({ run, onDelete, onKeep }: Props) {
  return (
    <AlertDialog.Root open={run !== null} onOpenChange={(open) => !open && onKeep()}>
      <AlertDialog.Portal>
        <AlertDialog.Overlay className="runs-overlay" />
        {run && (
          <AlertDialog.Content className="popover runs-dialog">
            <AlertDialog.Title>Delete this run?</AlertDialog.Title>
            <AlertDialog.Description>
              {runTitle(run)}, {moment(run.created_ms)}. Its prompt, text and trace are removed for good.
            </AlertDialog.Description>
            <div className="runs-choice">
              <AlertDialog.Cancel className="runs-button">Keep</AlertDialog.Cancel>
              <AlertDialog.Action className="runs-button is-danger" onClick={() => onDelete(run)}>
                Delete
              </AlertDialog.Action>
            </div>
          </AlertDialog.Content>
        )}
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
