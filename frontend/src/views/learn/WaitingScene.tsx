// One token a pass: why decoding waits for memory, and what the first token waits for.
import { useState } from "react";
import type { Run } from "../../run/model";
import type { Plain } from "../../theory/waiting";
import { SavedFigure } from "../../ui/SavedFigure";
import { PAPERS } from "../../words/learn/scenes";
import {
  HELPS,
  LEAD,
  measuredWords,
  type RecordedPlain,
  recordedPlain,
  SHORTENS_DECODING,
  SLIDERS,
  sliderWords,
  waitWords,
} from "../../words/learn/waiting";
import { Formula, frac, mo, mtext } from "./maths";
import { Scene } from "./Scene";
import { Sliders } from "./Sliders";
import { Timeline } from "./Timeline";

const FIRST: Plain = { promptTokens: 800, cached: 0, prefillTps: 1000, decodeTps: 20, roundTripMs: 60 };

const costsOf = ({ promptTokens, prefillMs, decodeTps }: RecordedPlain): Plain => ({
  promptTokens,
  cached: 0,
  prefillTps: Math.round((1000 * promptTokens) / prefillMs),
  decodeTps: Math.round(decodeTps),
  roundTripMs: 0,
});

export function WaitingScene({ run }: { run: Run | null }) {
  const [plain, setPlain] = useState(FIRST);
  const recorded = run && recordedPlain(run);
  const words = waitWords(plain);
  return (
    <Scene lead={LEAD} words={<WaitingWords recorded={recorded} />}>
      {recorded && (
        <div className="learn-buttons">
          <button type="button" onClick={() => setPlain(costsOf(recorded))}>
            Set to the recorded run
          </button>
        </div>
      )}
      <p role="status" className="learn-verdict">
        {words}
      </p>
      <SavedFigure title="The time of an answer">
        <Timeline plain={plain} label={`Timeline. ${words}`} recordedMs={recorded?.prefillMs ?? null} />
        <ul className="learn-key">
          <li>
            <i className="key-computed" aria-hidden /> computed
          </li>
          <li>
            <i className="key-token" aria-hidden /> a token arrives
          </li>
          {recorded && (
            <li>
              <i className="key-measured" aria-hidden /> measured: the prompt of the recorded run
            </li>
          )}
        </ul>
      </SavedFigure>
      <Sliders sliders={SLIDERS} values={plain} shown={sliderWords} onMove={setPlain} />
    </Scene>
  );
}

function WaitingWords({ recorded }: { recorded: RecordedPlain | null }) {
  return (
    <>
      <p>
        For one answer the arithmetic is done long before the weights have arrived. So the speed of decoding
        has a limit:
      </p>
      <Formula source={`${PAPERS.pope.name}, section 2`}>
        {[mtext("tokens per second"), mo("≤"), frac(mtext("memory bandwidth"), mtext("size of the weights"))]}
      </Formula>
      {recorded && <p className="learn-note">{measuredWords(recorded)}</p>}
      <p>
        The prompt is faster: its tokens are known, so one pass computes many of them. This is the prefill,
        and the first token waits for it.
      </p>
      <dl className="learn-helps">
        {HELPS.map(([name, effect]) => (
          <div key={name}>
            <dt>{name}</dt> <dd>{effect}</dd>
          </div>
        ))}
      </dl>
      <p>{SHORTENS_DECODING}</p>
      <p className="learn-source">{PAPERS.pope.full}</p>
    </>
  );
}
