import { useApp, useStore } from "../../app/useStore";
import { emptyRun } from "../../run/reducer";
import { TokenTree } from "../../tree/TokenTree";
import { Tour } from "./Tour";

export function TreePanel() {
  const store = useStore();
  const run = useApp((state) => state.play?.shown ?? emptyRun);
  const hovered = useApp((state) => state.hovered);
  const selected = useApp((state) => state.selected);
  const animated = useApp(({ play }) => play !== null && play.mode !== "real");
  const flowing = useApp(({ play }) => play?.playing === true && play.shown.phase === "running");
  const rapid = useApp(
    ({ play }) => play?.playing === true && play.mode === "real" && play.shown.phase === "running",
  );
  return (
    <div className="tree-panel">
      <TokenTree
        animated={animated}
        flowing={flowing}
        rapid={rapid}
        run={run}
        hovered={hovered}
        selected={selected}
        onHover={(key) => store.hover(key)}
        onSelect={(key) => store.select(key)}
      />
      <Tour />
    </div>
  );
}
