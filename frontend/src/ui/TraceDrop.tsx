// A trace file that is dropped anywhere on the page opens on the live page.
import { useCallback, useEffect, useState } from "react";
import { goTo } from "../app/places";
import { useStore } from "../app/useStore";
import { openTrace } from "../run/recording";
import "./trace-drop.css";

/** Opens a file; what is wrong with it becomes a notice on the live page. */
export function useOpenFile(): (file: File) => Promise<void> {
  const store = useStore();
  return useCallback(
    async (file) => {
      const text = await file.text().catch(() => null);
      goTo("live");
      if (text === null) return store.notify(`${file.name} cannot be read.`, "Choose it again.");
      const { recording, problem } = openTrace(text);
      if (problem) store.notify(`${file.name}: ${problem[0]}`, problem[1]);
      else if (!store.showStored({ id: null, title: file.name, recording })) {
        store.notify("A run is going on.", "Stop it, or wait for its end, then open the file again.");
      }
    },
    [store],
  );
}

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;

export function TraceDrop() {
  const open = useOpenFile();
  const [over, setOver] = useState(false);
  useEffect(() => {
    const drag = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      // Leaving an element for another one inside the page is no leaving.
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      const file = event.dataTransfer?.files[0];
      if (file) void open(file);
    };
    window.addEventListener("dragover", drag);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragover", drag);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, [open]);
  return over ? <p className="trace-drop">Drop the trace file to open it.</p> : null;
}
