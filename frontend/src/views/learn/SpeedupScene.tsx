// Speedup against the depth k: the formula with its costs as sliders, and the recorded run as a measured point.
import { useState } from "react";
import { costsOf, type RunCosts } from "../../run/costs";
import type { Run } from "../../run/model";
import { type Costs, DEEPEST, longestRoundTrip, type Shape, shapeOf, speedupAt } from "../../theory/speedup";
import { SavedFigure } from "../../ui/SavedFigure";
import { type Segment, Segments } from "../../ui/Segments";
import { fixed } from "../../words/format";
import { PAPERS } from "../../words/learn/scenes";
import { arithmetic, LEAD, measuredWords, SLIDERS, shapeWords, sliderWords } from "../../words/learn/speedup";
import { Columns } from "./Columns";
import { LearnSlider } from "./LearnSlider";
import { bracket, Formula, frac, mi, mn, mo, row, sup } from "./maths";
import { Scene } from "./Scene";
import { Sliders } from "./Sliders";

const FIRST: Costs = { acceptance: 0.8, draft: 0.1, growth: 0.05, roundTrip: 0 };
const DEPTHS = Array.from({ length: DEEPEST + 1 }, (_, k) => k);

type Picture = "speedup" | "roundTrip";
const PICTURES: readonly Segment<Picture>[] = [
  { value: "speedup", name: "Speedup", help: "Speedup against k" },
  { value: "roundTrip", name: "Longest round trip", help: "The round trip at which drafting breaks even" },
];

const rounded = (value: number, step: number): number => Number((Math.round(value / step) * step).toFixed(2));

export function SpeedupScene({ run }: { run: Run | null }) {
  const [costs, setCosts] = useState(FIRST);
  const [k, setK] = useState(4);
  const [picture, setPicture] = useState<Picture>("speedup");
  const measured = run && costsOf(run);
  const shape = shapeOf(costs);
  const copy = ({ k: depth, acceptance, draft, growth }: RunCosts) => {
    setCosts({
      acceptance: rounded(acceptance, 0.01),
      draft: rounded(draft, 0.01),
      growth: rounded(growth, 0.01),
      roundTrip: 0,
    });
    setK(depth);
  };
  return (
    <Scene lead={LEAD} words={<SpeedupWords measured={measured} />}>
      <div className="learn-controls">
        <Segments
          label="Picture"
          segments={PICTURES}
          value={picture}
          onChoose={(chosen) => setPicture(chosen)}
        />
        {measured && (
          <span className="learn-buttons">
            <button type="button" onClick={() => copy(measured)}>
              Set to the recorded run
            </button>
          </span>
        )}
      </div>
      <p role="status" className="learn-verdict">
        {shapeWords(shape)}
      </p>
      {picture === "speedup" ? (
        <SpeedupPicture costs={costs} shape={shape} k={k} measured={measured} onChoose={setK} />
      ) : (
        <RoundTripPicture costs={costs} k={k} onChoose={setK} />
      )}
      <p className="figures learn-arithmetic">{arithmetic(costs, k)}</p>
      <Sliders sliders={SLIDERS} values={costs} shown={sliderWords} onMove={setCosts}>
        <LearnSlider
          name="Depth k"
          value={k}
          highest={DEEPEST}
          step={1}
          shown={`${k}`}
          help="The column that the line above explains"
          onMove={setK}
        />
      </Sliders>
    </Scene>
  );
}

interface SpeedupProps {
  readonly costs: Costs;
  readonly shape: Shape;
  readonly k: number;
  readonly measured: RunCosts | null;
  onChoose(k: number): void;
}

function SpeedupPicture({ costs, shape, k, measured, onChoose }: SpeedupProps) {
  const columns = DEPTHS.map((depth) => ({ x: depth, value: speedupAt(costs, depth) }));
  return (
    <SavedFigure title="Speedup against k">
      <Columns
        label={`Computed speedup for k from 0 to ${DEEPEST}: ${columns.map(({ value }) => fixed(value)).join(", ")}`}
        unit="k, tokens in a draft"
        columns={columns}
        marked={shape.best}
        chosen={k}
        measured={measured && { x: measured.k, value: measured.speedup }}
        line={1}
        onChoose={onChoose}
      />
      <ul className="learn-key">
        <li>
          <i className="key-computed" aria-hidden /> computed
        </li>
        <li>
          <i className="key-line" aria-hidden /> the target alone
        </li>
        {measured && (
          <li>
            <i className="key-measured" aria-hidden /> measured: the recorded run, at its own costs
          </li>
        )}
      </ul>
    </SavedFigure>
  );
}

function RoundTripPicture({ costs, k, onChoose }: Pick<SpeedupProps, "costs" | "k" | "onChoose">) {
  const columns = DEPTHS.map((depth) => ({ x: depth, value: longestRoundTrip(costs, depth) }));
  return (
    <SavedFigure title="The longest round trip that pays">
      <Columns
        label={`Longest round trip in passes for k from 0 to ${DEEPEST}: ${columns.map(({ value }) => fixed(value)).join(", ")}`}
        unit="k, tokens in a draft"
        columns={columns}
        marked={null}
        chosen={k}
        measured={null}
        line={costs.roundTrip}
        onChoose={onChoose}
      />
      <p className="learn-key">
        In passes of the target; the line is the round trip of the slider. Drafting pays where a column
        reaches above the line: a distant target needs a longer draft.
      </p>
    </SavedFigure>
  );
}

function SpeedupWords({ measured }: { measured: RunCosts | null }) {
  const alpha = mi("α");
  return (
    <>
      <Formula source={`${PAPERS.leviathan.name}, theorem 3.8, with g and r added`}>
        {[
          mi("speedup"),
          mo("="),
          frac(
            row(mn("1"), mo("−"), sup(alpha, row(mi("k"), mo("+"), mn("1")))),
            row(
              bracket("("),
              row(mn("1"), mo("−"), alpha),
              bracket(")"),
              mo("·"),
              bracket("("),
              row(mi("k"), mi("c"), mo("+"), mn("1"), mo("+"), mi("k"), mi("g"), mo("+"), mi("r")),
              bracket(")"),
            ),
          ),
        ]}
      </Formula>
      <p>
        The tokens of a round are 1 + α + α² + … + αᵏ: the target always adds one token, and a drafted token
        counts only if all before it were accepted. The time of a round is k drafted tokens, one verification
        pass and one round trip. All times are in passes of the target alone, so 1 token for 1 pass is 1×.
      </p>
      <p>
        The verification pass reads the weights once, for any k. Where reading them is all it waits for, g is
        near 0. Where the processor must also compute for a long time, g is large, and speculation gains
        little.
      </p>
      {measured && (
        <p className="learn-note">
          {measuredWords(measured, speedupAt({ ...measured, roundTrip: 0 }, measured.k))}
        </p>
      )}
      <p className="learn-source">{PAPERS.leviathan.full}</p>
    </>
  );
}
