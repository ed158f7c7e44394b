// Flavours: at one place of a recorded answer, the draft of the model and the draft of a search in the text.
import { useState } from "react";
import type { Round, Run, Status } from "../../run/model";
import { emittedCount } from "../../run/selectors";
import { agreeing, type Lookup, lookUp, replay } from "../../theory/lookup";
import { SourceBadge } from "../../ui/SourceMark";
import { plural } from "../../words/format";
import { visible } from "../../words/label";
import { FLAVOURS, LEAD, lookupWords, replayWords } from "../../words/learn/flavours";
import { sourceOf } from "../../words/sources";
import { STATUS } from "../../words/verdicts";
import { LearnSlider } from "./LearnSlider";
import { Scene } from "./Scene";
import "./round.css";
import "./flavours.css";

const CONTEXT = 40;
const SHOWN_NEXT = 8;
const LONGEST_DRAFT = 8;
const FIRST_K = 4;

export function FlavoursScene({ run }: { run: Run | null }) {
  return (
    <Scene lead={LEAD} words={<FlavourList />}>
      {run && run.rounds.length > 0 ? (
        <Place run={run} />
      ) : (
        <p role="status">The recorded run is not loaded.</p>
      )}
    </Scene>
  );
}

function FlavourList() {
  return (
    <dl className="learn-helps flavours">
      {FLAVOURS.map(({ source, from, cost }) => (
        <div key={source}>
          <dt>
            <SourceBadge source={source} /> {sourceOf(source).title}
          </dt>
          <dd>
            {from} <span className="text-soft">{cost}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

interface Chip {
  readonly label: string;
  readonly status: Status;
}

/** The drafted tokens with what would become of them: kept while they equal the text. */
function lookupChips(draft: Lookup, kept: number, label: (id: number) => string): Chip[] {
  return draft.tokens.map((id, index) => ({
    label: label(id),
    status: index < kept ? "accepted" : index === kept ? "rejected" : "discarded",
  }));
}

const roundChips = ({ drafted }: Round): Chip[] => drafted.map(({ label, status }) => ({ label, status }));

/** The first round where lookup would have been right twice or more; else the first. */
function firstMatch({ rounds }: Run): number {
  const ids = rounds.flatMap(({ emitted }) => emitted.map(({ tokenId }) => tokenId));
  const starts = rounds.map((_, number) => rounds.slice(0, number).flatMap(({ emitted }) => emitted).length);
  const isRight = (at: number) => agreeing(ids, at, lookUp(ids, at, FIRST_K).tokens) > 1;
  return Math.max(0, starts.findIndex(isRight));
}

function Place({ run }: { run: Run }) {
  const [number, setNumber] = useState(() => firstMatch(run));
  const [k, setK] = useState(FIRST_K);
  const written = run.rounds.flatMap(({ emitted }) => emitted);
  const ids = written.map(({ tokenId }) => tokenId);
  const labels = new Map(written.map(({ tokenId, label }) => [tokenId, label]));
  const round = run.rounds[number];
  if (!round) return null;
  const at = run.rounds.slice(0, number).reduce((sum, { emitted }) => sum + emitted.length, 0);
  const draft = lookUp(ids, at, k);
  const chips = lookupChips(draft, agreeing(ids, at, draft.tokens), (id) => labels.get(id) ?? "");
  const from = Math.max(0, at - CONTEXT);
  return (
    <>
      <p role="status" className="learn-verdict is-tall">
        {replayWords(replay(ids, k), emittedCount(run) / run.rounds.length)}
      </p>
      <p className="walk-text">
        {from > 0 && "…"}
        {written.slice(from, at).map((token, index) => {
          const place = from + index;
          const last = draft.matched > 0 && place >= at - draft.matched;
          const before = draft.matched > 0 && place >= draft.from && place < draft.from + draft.matched;
          return last || before ? <mark key={token.key}>{token.text}</mark> : token.text;
        })}
      </p>
      <Drafted source="model" note="Drafted and tested in the recorded run." chips={roundChips(round)} />
      <Drafted source="ngram" note={lookupWords(draft)} chips={chips} />
      <p className="flavour-next">
        <span>the target wrote</span>{" "}
        {written
          .slice(at, at + SHOWN_NEXT)
          .map(({ label }) => visible(label))
          .join(" ")}
      </p>
      <div className="learn-sliders">
        <LearnSlider
          name="Place"
          value={number + 1}
          lowest={1}
          highest={run.rounds.length}
          step={1}
          shown={`round ${number + 1} of ${run.rounds.length}`}
          help="Drag it through the answer"
          onMove={(value) => setNumber(value - 1)}
        />
        <LearnSlider
          name="Longest lookup"
          value={k}
          lowest={1}
          highest={LONGEST_DRAFT}
          step={1}
          shown={plural(k, "token")}
          help="For prompt lookup only; the draft model is recorded"
          onMove={setK}
        />
      </div>
    </>
  );
}

function Drafted({ source, note, chips }: { source: string; note: string; chips: readonly Chip[] }) {
  const { title } = sourceOf(source);
  return (
    <section className="flavour" aria-label={title}>
      <h3>
        <SourceBadge source={source} /> {title}
      </h3>
      <p>{note}</p>
      {chips.length > 0 && (
        <ol className="walk-tokens">
          {chips.map(({ label, status }, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a drafted token is its place in the draft
            <li key={index} data-status={status}>
              <span>{visible(label)}</span>
              <small>
                <i aria-hidden>{STATUS[status].glyph}</i> {STATUS[status].name}
              </small>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
