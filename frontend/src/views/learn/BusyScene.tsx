// A busy server: the more requests share a pass, the less a draft gains.
import { useState } from "react";
import { costsOf, type RunCosts } from "../../run/costs";
import type { Run } from "../../run/model";
import { BATCHES, type BatchCosts, batchSpeedup } from "../../theory/batch";
import { SavedFigure } from "../../ui/SavedFigure";
import { fixed } from "../../words/format";
import {
  batchArithmetic,
  gainWords,
  LEAD,
  measuredWords,
  SLIDERS,
  sliderWords,
  WHY,
} from "../../words/learn/busy";
import { PAPERS } from "../../words/learn/scenes";
import { Columns } from "./Columns";
import { LearnSlider } from "./LearnSlider";
import { bracket, Formula, frac, mi, mn, mo, row } from "./maths";
import { Scene } from "./Scene";
import { Sliders } from "./Sliders";

const FIRST: BatchCosts = { acceptance: 0.8, draft: 0.05, k: 4, freeRows: 100 };

export function BusyScene({ run }: { run: Run | null }) {
  const [costs, setCosts] = useState(FIRST);
  const [chosen, setChosen] = useState(0);
  const requests = BATCHES[chosen] ?? 1;
  const columns = BATCHES.map((batch) => ({ x: batch, value: batchSpeedup(costs, batch) }));
  return (
    <Scene lead={LEAD} words={<BusyWords measured={run && costsOf(run)} />}>
      <p role="status" className="learn-verdict">
        {gainWords(costs)}
      </p>
      <SavedFigure title="Speedup by requests in a pass">
        <Columns
          label={`Computed speedup for ${columns.map(({ x, value }) => `${x} requests: ${fixed(value)}`).join(", ")}`}
          unit="requests in a pass"
          columns={columns}
          marked={null}
          chosen={requests}
          measured={null}
          line={1}
          onChoose={(batch) => setChosen(columns.findIndex(({ x }) => x === batch))}
        />
        <ul className="learn-key">
          <li>
            <i className="key-computed" aria-hidden /> speedup, computed
          </li>
          <li>
            <i className="key-line" aria-hidden /> without drafts
          </li>
        </ul>
      </SavedFigure>
      <p className="figures learn-arithmetic">{batchArithmetic(costs, requests)}</p>
      <Sliders sliders={SLIDERS} values={costs} shown={sliderWords} onMove={setCosts}>
        <LearnSlider
          name="Requests"
          value={chosen}
          highest={BATCHES.length - 1}
          step={1}
          shown={`${requests}`}
          help="The column that the line above explains"
          onMove={setChosen}
        />
      </Sliders>
    </Scene>
  );
}

function BusyWords({ measured }: { measured: RunCosts | null }) {
  const time = (rows: string) => row(mi("t"), bracket("("), mi(rows), bracket(")"));
  return (
    <>
      <Formula source={`${PAPERS.roofline.name}: time of a pass over n rows`}>
        {[
          time("n"),
          mo("="),
          mi("max"),
          bracket("("),
          mn("1"),
          mo(","),
          frac(mi("n"), mi("F")),
          bracket(")"),
        ]}
      </Formula>
      <p>{WHY}</p>
      <p>
        So a server drafts less the busier it is, and stops when no time is left. Serving engines choose k by
        load.
      </p>
      {measured && <p className="learn-note">{measuredWords(measured)}</p>}
      <p className="learn-source">
        {PAPERS.roofline.full} {PAPERS.goodput.full}
      </p>
    </>
  );
}
