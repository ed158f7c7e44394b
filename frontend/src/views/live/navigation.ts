// Arrow keys in the text: left and right by token, up and down by round.
import type { Run } from "../../run/model";

export function nextTokenKey(run: Run, key: string, pressed: string): string | null {
  const rounds = run.rounds.filter((round) => round.emitted.length > 0);
  const at = rounds.findIndex((round) => round.emitted.some((token) => token.key === key));
  const here = rounds[at]?.emitted;
  if (!here) return null;
  const column = here.findIndex((token) => token.key === key);
  const before = rounds[at - 1]?.emitted;
  const after = rounds[at + 1]?.emitted;
  switch (pressed) {
    case "ArrowRight":
      return (here[column + 1] ?? after?.[0])?.key ?? null;
    case "ArrowLeft":
      return (here[column - 1] ?? before?.at(-1))?.key ?? null;
    case "ArrowDown":
      return after?.[0]?.key ?? null;
    case "ArrowUp":
      return before?.[0]?.key ?? null;
    case "Home":
      return rounds[0]?.emitted[0]?.key ?? null;
    case "End":
      return rounds.at(-1)?.emitted.at(-1)?.key ?? null;
    default:
      return null;
  }
}
