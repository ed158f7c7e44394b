// The rule: p and q as bars that can be dragged, one draw at a time, or a thousand.
import { useState } from "react";
import type { Run } from "../../run/model";
import type { Random } from "../../theory/chance";
import { fitOf } from "../../theory/fit";
import {
  acceptance,
  countDraws,
  type Distribution,
  type Draw,
  outputOf,
  type Rule,
  verify,
  withShare,
} from "../../theory/rule";
import { SavedFigure } from "../../ui/SavedFigure";
import { Segments } from "../../ui/Segments";
import { acceptedWords, fitWords, LEAD, RULE_NAMES, RULE_NOTES } from "../../words/learn/rule";
import { PAPERS } from "../../words/learn/scenes";
import { DrawSteps } from "./DrawSteps";
import { Formula, frac, mi, mn, mo, mtext, of, row } from "./maths";
import { RuleKey, RulePicture } from "./RulePicture";
import { recordedRule } from "./recordedRule";
import { Scene } from "./Scene";
import "./rule.css";

const MANY = 1000;

interface Game {
  readonly tokens: readonly string[];
  readonly rule: Rule;
  readonly p: Distribution;
  readonly q: Distribution;
  readonly counts: readonly number[];
  readonly last: Draw | null;
}

const NO_COUNTS = [0, 0, 0, 0, 0];
const FIRST: Game = {
  tokens: ["the", "a", "my", "this", "our"],
  rule: "exact",
  p: [0.42, 0.28, 0.16, 0.1, 0.04],
  q: [0.2, 0.1, 0.14, 0.16, 0.4],
  counts: NO_COUNTS,
  last: null,
};

export function RuleScene({ random, run }: { random: Random; run: Run | null }) {
  const [game, setGame] = useState(FIRST);
  const { tokens, rule, p, q, counts, last } = game;
  const recorded = run && recordedRule(run);
  const draws = counts.reduce((sum, count) => sum + count, 0);
  // Counts of other distributions, or of another rule, would mean nothing.
  const change = (changes: Partial<Game>) => setGame({ ...game, counts: NO_COUNTS, last: null, ...changes });
  const drawOne = () => {
    const draw = verify(rule, p, q, random);
    change({ counts: counts.map((count, token) => count + Number(token === draw.emitted)), last: draw });
  };
  const drawMany = () => {
    const more = countDraws(rule, p, q, MANY, random);
    change({ counts: counts.map((count, token) => count + (more[token] ?? 0)), last });
  };
  return (
    <Scene lead={LEAD} words={<RuleWords rule={rule} accepted={acceptance(p, q)} />}>
      <div className="learn-controls">
        <span>The rule, and three broken ones:</span>
        <Segments
          label="Rule"
          segments={RULE_NAMES}
          value={rule}
          onChoose={(chosen) => change({ rule: chosen })}
        />
        <span className="learn-buttons">
          <button type="button" onClick={drawOne}>
            Draw one
          </button>
          <button type="button" onClick={drawMany}>
            Draw 1,000
          </button>
          <button type="button" onClick={() => change({})} disabled={draws === 0}>
            Clear
          </button>
          {recorded && (
            <button type="button" onClick={() => change(recorded)}>
              Set to the recorded run
            </button>
          )}
        </span>
      </div>
      <p role="status" className="learn-verdict">
        {fitWords(draws, fitOf(counts, p))}
      </p>
      <SavedFigure title="p, q and what comes out">
        <RulePicture
          tokens={tokens}
          p={p}
          q={q}
          output={outputOf(rule, p, q)}
          counts={counts}
          emitted={last?.emitted ?? null}
          onMove={(which, token, value) => change({ [which]: withShare(game[which], token, value) })}
        />
        <RuleKey />
      </SavedFigure>
      <DrawSteps tokens={tokens} p={p} q={q} rule={rule} draw={last} />
    </Scene>
  );
}

function RuleWords({ rule, accepted }: { rule: Rule; accepted: number }) {
  return (
    <>
      <ol>
        <li>Draw a token x from q. That is the draft.</li>
        <li>
          Draw a uniform number between 0 and 1. Accept x if it is below
          <Formula source={`${PAPERS.leviathan.name}, algorithm 1`}>
            {[mi("min"), mo("("), mn("1"), mo(","), frac(of("p"), of("q")), mo(")")]}
          </Formula>
        </li>
        <li>
          Otherwise draw another token from the residual: what p has more than q, scaled so that it adds up to
          1.
          <Formula source={`${PAPERS.leviathan.name}, algorithm 1`}>
            {[
              frac(
                row(mi("max"), mo("("), mn("0"), mo(","), of("p"), mo("−"), of("q"), mo(")")),
                row(mtext("sum over all tokens")),
              ),
            ]}
          </Formula>
        </li>
      </ol>
      <p>
        The two ways add up to p: accepted drafts give min(p, q), the solid part, and the residual gives what
        is missing, the hatched part. So a bad draft costs time, never quality.
      </p>
      <p>{acceptedWords(accepted)}</p>
      <p className="learn-note">{RULE_NOTES[rule]}</p>
      <p className="learn-source">{PAPERS.leviathan.full}</p>
    </>
  );
}
