// Across a network: how often the round trip is paid, in five modes on one clock.
import { useState } from "react";
import { costsOf, type RunCosts } from "../../run/costs";
import type { Run } from "../../run/model";
import { seededRandom } from "../../theory/chance";
import { laneOf, MODES, type NetworkCosts } from "../../theory/network";
import { SavedFigure } from "../../ui/SavedFigure";
import { whole } from "../../words/format";
import {
  CAPACITY_LETTERS,
  capacityWords,
  fastestWords,
  LEAD,
  laneWords,
  MODE_NOTES,
  SLIDERS,
  sliderWords,
} from "../../words/learn/network";
import { Lanes } from "./Lanes";
import { Formula, frac, mi, mn, mo, mtext, row, sub } from "./maths";
import { Scene } from "./Scene";
import { Sliders } from "./Sliders";
import "./network.css";

const SHOWN_TOKENS = 24;
/** Enough that single rounds hardly change the rates. */
const RATED_TOKENS = 2000;
const FIRST: NetworkCosts = {
  roundTripMs: 60,
  passMs: 30,
  draftMs: 3,
  growth: 0.05,
  acceptance: 0.85,
  k: 5,
};

const recordedCosts = ({
  plainMs,
  draft,
  growth,
  acceptance,
  k,
}: RunCosts): Omit<NetworkCosts, "roundTripMs"> => ({
  passMs: Math.round(plainMs),
  draftMs: Math.round(draft * plainMs),
  growth: Number(growth.toFixed(2)),
  acceptance: Number(acceptance.toFixed(2)),
  k,
});

/** seed: every setting plays the same numbers, so that only the setting makes a difference. */
export function NetworkScene({ run, seed }: { run: Run | null; seed: number }) {
  const [costs, setCosts] = useState(FIRST);
  const recorded = run && costsOf(run);
  const play = (tokens: number) => MODES.map((mode) => laneOf(mode, costs, tokens, seededRandom(seed)));
  const rated = play(RATED_TOKENS);
  const names = rated.map(laneWords);
  return (
    <Scene lead={LEAD} words={<NetworkWords costs={costs} />}>
      {recorded && (
        <div className="learn-buttons">
          <button type="button" onClick={() => setCosts({ ...costs, ...recordedCosts(recorded) })}>
            Set to the recorded run
          </button>
        </div>
      )}
      <p role="status" className="learn-verdict">
        {fastestWords(rated)}
      </p>
      <SavedFigure title="Five modes across a network">
        <Lanes
          lanes={play(SHOWN_TOKENS)}
          names={names}
          label={`${SHOWN_TOKENS} tokens in five modes. ${names.join("; ")}`}
        />
        <ul className="learn-key">
          <li>
            <i className="key-part part-draft" aria-hidden /> draft
          </li>
          <li>
            <i className="key-part part-network" aria-hidden /> on the way
          </li>
          <li>
            <i className="key-part part-verify" aria-hidden /> pass of the target
          </li>
          <li>
            <i className="key-token" aria-hidden /> tokens arrive, larger for more
          </li>
        </ul>
      </SavedFigure>
      <Sliders sliders={SLIDERS} values={costs} shown={sliderWords} onMove={setCosts} />
    </Scene>
  );
}

function NetworkWords({ costs }: { costs: NetworkCosts }) {
  return (
    <>
      <dl className="learn-helps">
        {MODE_NOTES.map(([name, effect]) => (
          <div key={name}>
            <dt>{name}</dt> <dd>{effect}</dd>
          </div>
        ))}
      </dl>
      <p>{capacityWords(costs)}</p>
      <Formula source={CAPACITY_LETTERS}>
        {[
          mi("gain"),
          mo("="),
          mn("1"),
          mo("+"),
          frac(row(mi("k"), mo("·"), sub(mi("t"), mtext("draft"))), sub(mi("t"), mtext("pass"))),
        ]}
      </Formula>
      <p>
        All five give the same distribution of the text: where the passes are computed changes the time, not
        the rule.
      </p>
      <p className="learn-note">
        The picture shows the first {SHOWN_TOKENS} tokens; the rates are means over {whole(RATED_TOKENS)}.
        Whether a draft is accepted is drawn at random, with the acceptance of the slider, and is the same for
        all modes with drafts. Nothing here is measured: the target of the recorded run was in the same
        process.
      </p>
    </>
  );
}
