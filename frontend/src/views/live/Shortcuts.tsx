// The shortcuts of the whole page, and their list.
import { Keyboard, X } from "lucide-react";
import { Dialog } from "radix-ui";
import { useEffect, useState } from "react";
import { useStore } from "../../app/useStore";
import { isTaken, playbackKey, SHORTCUTS } from "./shortcuts";

export function Shortcuts() {
  const store = useStore();
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTaken(event.target, event.key)) return;
      const change = playbackKey({ key: event.key, shift: event.shiftKey });
      if (event.key === "?") setOpen(true);
      else if (change) store.playback(change);
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [store]);
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Trigger className="icon-button" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)">
        <Keyboard size={16} aria-hidden />
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Overlay className="shortcuts-overlay" />
        <Dialog.Content className="popover shortcuts" aria-describedby={undefined}>
          <div className="flex items-center justify-between">
            <Dialog.Title className="panel-title">Keyboard shortcuts</Dialog.Title>
            <Dialog.Close className="icon-button" aria-label="Close">
              <X size={15} aria-hidden />
            </Dialog.Close>
          </div>
          <dl>
            {SHORTCUTS.map(({ keys, words }) => (
              <div key={keys}>
                <dt>{keys}</dt>
                <dd>{words}</dd>
              </div>
            ))}
          </dl>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
