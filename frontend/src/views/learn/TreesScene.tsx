// Trees: several candidates for a place, read in one pass with a mask.
import { useState } from "react";
import { type TreeCosts, treeOf } from "../../theory/trees";
import { SavedFigure } from "../../ui/SavedFigure";
import { PAPERS } from "../../words/learn/scenes";
import { LEAD, nodeWords, SLIDERS, sliderWords, treeWords, WHY } from "../../words/learn/trees";
import { LearnSlider } from "./LearnSlider";
import { Scene } from "./Scene";
import { Sliders } from "./Sliders";
import { TreePicture } from "./TreePicture";
import "./trees.css";

const FIRST: TreeCosts = { first: 0.6, further: 0.3, growth: 0.01, draft: 0.1 };
const WIDEST = 3;

export function TreesScene() {
  const [costs, setCosts] = useState(FIRST);
  const [widths, setWidths] = useState<readonly number[]>([3, 2, 1]);
  const [wanted, setWanted] = useState(3);
  const nodes = treeOf(widths);
  const chosen = Math.min(wanted, nodes.length - 1);
  const words = [...WHY.map((sentence) => <p key={sentence}>{sentence}</p>), <Source key="source" />];
  return (
    <Scene lead={LEAD} words={words}>
      <p role="status" className="learn-verdict">
        {treeWords(costs, widths)}
      </p>
      <SavedFigure title="A draft tree and its attention mask">
        <TreePicture
          nodes={nodes}
          depths={widths.length}
          chosen={chosen}
          label={`A tree of ${nodes.length} tokens and its attention mask. ${nodeWords(nodes, chosen)}`}
          onChoose={setWanted}
        />
      </SavedFigure>
      <p className="learn-arithmetic">{nodeWords(nodes, chosen)}</p>
      <Sliders sliders={SLIDERS} values={costs} shown={sliderWords} onMove={setCosts}>
        <LearnSlider
          name="Token"
          value={chosen + 1}
          lowest={1}
          highest={nodes.length}
          step={1}
          shown={`${chosen + 1} of ${nodes.length}`}
          onMove={(value) => setWanted(value - 1)}
        />
        {widths.map((width, depth) => (
          <LearnSlider
            // biome-ignore lint/suspicious/noArrayIndexKey: a depth is its place in the list
            key={depth}
            name={`Candidates at depth ${depth + 1}`}
            value={width}
            lowest={1}
            highest={WIDEST}
            step={1}
            shown={`${width}`}
            onMove={(value) => setWidths(widths.with(depth, value))}
          />
        ))}
      </Sliders>
    </Scene>
  );
}

const Source = () => <p className="learn-source">{PAPERS.specinfer.full}</p>;
