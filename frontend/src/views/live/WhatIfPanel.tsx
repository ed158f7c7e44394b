// What a kept run would have been with other choices: a picture of all depths, and sliders for everything else.
import { useState } from "react";
import { hasServer } from "../../app/state";
import { useApp } from "../../app/useStore";
import type { WhatIfAnswer } from "../../protocol/generated";
import { FigureMenu } from "../../ui/FigureMenu";
import { HelpTooltip } from "../../ui/HelpTooltip";
import { choiceWords, WHAT_IF_HELP, whatIfNotes, whatIfVerdict } from "../../words/whatIf";
import { useWhatIf } from "./useWhatIf";
import { WhatIfChart } from "./WhatIfChart";
import { WhatIfForm } from "./WhatIfForm";
import "./what-if.css";

/** Of the kept run on the page; nothing for a run without a record, and where no server computes. */
export function WhatIfPanel() {
  const server = useApp(hasServer);
  const run = useApp(({ stored, play }) => {
    const recorded = play?.full.started?.record ?? null;
    return recorded === null ? null : (stored?.id ?? null);
  });
  const fixedK = useApp(({ play }) => {
    const started = play?.full.started;
    return started?.policy === "fixed" ? started.k : null;
  });
  return server && run !== null ? <Asked key={run} run={run} k={fixedK} /> : null;
}

/** k: the depth of the run; null if its policy chose it. */
function Asked({ run, k }: { run: string; k: number | null }) {
  const whatIf = useWhatIf(run);
  const { answer, fault, waiting } = whatIf;
  const [depth, setDepth] = useState<number | null>(null);
  const shown = answer && shownDepth(answer, depth);
  return (
    <section className="wi" aria-label="What if" aria-busy={waiting} data-figure>
      <header className="figure-head">
        <h3>
          <HelpTooltip help={WHAT_IF_HELP}>What if</HelpTooltip>
        </h3>
        <FigureMenu title="What if" />
      </header>
      {fault && (
        <p role="alert">
          {fault.message} {fault.hint}
        </p>
      )}
      {!answer && !fault && <p className="wi-note">The server computes.</p>}
      {answer && (
        <div className="wi-answer" data-old={waiting || fault !== null || undefined}>
          <p role="status" className="wi-verdict">
            {whatIfVerdict(answer)}
          </p>
          <WhatIfChart answer={answer} shown={shown ?? 0} measuredAt={k} onChoose={setDepth} />
          <p className="wi-choice">
            {choiceWords(answer, answer.choices.find((choice) => choice.depth === shown) ?? null)}
          </p>
        </div>
      )}
      <WhatIfForm whatIf={whatIf} depth={shown ?? 0} onDepth={setDepth} />
      {answer &&
        whatIfNotes(answer).map((words) => (
          <p key={words} className="wi-note">
            {words}
          </p>
        ))}
    </section>
  );
}

/** The chosen depth if it was computed, else the best one. */
const shownDepth = (answer: WhatIfAnswer, depth: number | null): number =>
  depth === 0 || answer.choices.some((choice) => choice.depth === depth) ? (depth ?? 0) : answer.best;
