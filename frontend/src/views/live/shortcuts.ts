// Keys that work wherever the focus is, unless the focused element has its own use for them.
import type { Playback } from "../../run/playback";
import * as playback from "../../run/playback";

export interface Shortcut {
  readonly keys: string;
  readonly words: string;
}

export const SHORTCUTS: readonly Shortcut[] = [
  { keys: "Space", words: "play or pause" },
  { keys: "← →", words: "previous and next round" },
  { keys: "Shift ← →", words: "previous and next token" },
  { keys: "Home, End", words: "beginning and end of the run" },
  { keys: "Ctrl or ⌘ ↵", words: "generate, from the prompt" },
  { keys: "?", words: "this list" },
  { keys: "Esc", words: "close" },
  { keys: "+ − 0", words: "zoom of the token tree, when it has the focus" },
];

export interface Press {
  readonly key: string;
  readonly shift: boolean;
}

/** The playback after a key; null for a key that is no shortcut. */
export function playbackKey({ key, shift }: Press): ((play: Playback) => Playback) | null {
  switch (key) {
    case " ":
      return (play) => (play.playing ? playback.pause(play) : playback.play(play));
    case "ArrowLeft":
      return (play) => (shift ? playback.stepEvent(play, -1) : playback.stepRound(play, -1));
    case "ArrowRight":
      return (play) => (shift ? playback.stepEvent(play, 1) : playback.stepRound(play, 1));
    case "Home":
      return (play) => playback.seekRound(play, 0);
    case "End":
      return (play) => playback.seekRound(play, Number.POSITIVE_INFINITY);
    default:
      return null;
  }
}

const TYPES_TEXT = "input, textarea, select, [contenteditable]";
/** These move or choose with the arrow keys. */
const USES_ARROWS = `${TYPES_TEXT}, [role=slider], [role=listbox], [role=tree], [role=radiogroup], [role=menu], [role=dialog], [role=application]`;
const USES_SPACE = `${USES_ARROWS}, button, a, summary`;

/** Whether the focused element has its own use for a key. */
export function isTaken(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof Element)) return false;
  const takers = key === " " ? USES_SPACE : key === "?" ? TYPES_TEXT : USES_ARROWS;
  return target.closest(takers) !== null;
}
