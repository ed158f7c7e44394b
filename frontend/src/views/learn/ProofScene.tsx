// All outcomes: p and q of a vocabulary of three tokens, and the probability of every text, added up over all ways to it.
import { useMemo, useState } from "react";
import {
  differenceOf,
  EXAMPLE,
  outcomesOf,
  type ToyModel,
  targetOf,
  tokensPerRound,
} from "../../theory/outcomes";
import { type Distribution, type Rule, withShare } from "../../theory/rule";
import { SavedFigure } from "../../ui/SavedFigure";
import { Segments } from "../../ui/Segments";
import {
  brokenCountWords,
  CONTEXTS,
  type ContextName,
  countWords,
  EXACT_NOTE,
  LEAD,
  proofWords,
  TOKENS,
} from "../../words/learn/proof";
import { RULE_NAMES, RULE_NOTES } from "../../words/learn/rule";
import { PAPERS } from "../../words/learn/scenes";
import { Formula, frac, mi, mn, mo, of, row, sub } from "./maths";
import { ProofPicture } from "./ProofPicture";
import { Scene } from "./Scene";
import { TokenBars } from "./TokenBars";
import "./rule.css";
import "./proof.css";

const DEPTH = 2;
const LENGTH = 3;

const withRow = (model: ToyModel, at: number, row: Distribution): ToyModel =>
  model.map((old, index) => (index === at ? row : old));

export function ProofScene() {
  const [toy, setToy] = useState(EXAMPLE);
  const [rule, setRule] = useState<Rule>("exact");
  const [context, setContext] = useState<ContextName>("0");
  const target = useMemo(() => targetOf(toy, LENGTH), [toy]);
  const { output, paths } = useMemo(() => outcomesOf(rule, toy, DEPTH, LENGTH), [rule, toy]);
  const difference = differenceOf(output, target);
  const at = Number(context);
  const [p, q] = [toy.p[at] ?? [], toy.q[at] ?? []];
  const move = (which: "p" | "q", token: number, value: number) =>
    setToy({ ...toy, [which]: withRow(toy[which], at, withShare(which === "p" ? p : q, token, value)) });
  const count =
    rule === "exact" ? countWords(paths, DEPTH, tokensPerRound(rule, toy, DEPTH)) : brokenCountWords(paths);
  return (
    <Scene lead={LEAD} words={<ProofWords rule={rule} />}>
      <div className="learn-controls">
        <Segments label="Rule" segments={RULE_NAMES} value={rule} onChoose={(chosen) => setRule(chosen)} />
      </div>
      <p role="status" className="learn-verdict">
        {proofWords(difference, output, target, LENGTH)} {count}
      </p>
      <SavedFigure title="Probabilities of all texts">
        <ProofPicture output={output} target={target} length={LENGTH} />
      </SavedFigure>
      <div className="learn-controls proof-context">
        <span>p and q</span>
        <Segments
          label="p and q"
          segments={CONTEXTS}
          value={context}
          onChoose={(chosen) => setContext(chosen)}
        />
      </div>
      <TokenBars tokens={TOKENS} p={p} q={q} short onMove={move} />
    </Scene>
  );
}

function ProofWords({ rule }: { rule: Rule }) {
  return (
    <>
      <p>
        One round: the draft model writes two tokens, the rule tests them in order, and the first rejection
        ends the round with a replacement. If both are accepted, the target adds a token of its own. Rounds
        follow until three tokens are there.
      </p>
      <p>For one token, the two ways to x add up to p(x), whatever q is:</p>
      <Formula source={`${PAPERS.leviathan.name}, appendix A.1`}>
        {[
          of("q"),
          mo("·"),
          row(mi("min"), mo("("), mn("1"), mo(","), frac(of("p"), of("q")), mo(")")),
          mo("+"),
          row(mo("("), mn("1"), mo("−"), mi("β"), mo(")")),
          mo("·"),
          sub(mi("p"), mi("res")),
          row(mo("("), mi("x"), mo(")")),
          mo("="),
          of("p"),
        ]}
      </Formula>
      <p>
        β is the probability that the draft is accepted, and the residual is scaled by 1 − β. The broken rules
        change one factor of this sum.
      </p>
      <p className="learn-note">{rule === "exact" ? EXACT_NOTE : RULE_NOTES[rule]}</p>
      <p>
        Choose p and q below, also different ones after each token. The tests of SpeculatoViz add up all
        outcomes of its own drafters and rules in the same way.
      </p>
      <p className="learn-source">{PAPERS.leviathan.full}</p>
    </>
  );
}
