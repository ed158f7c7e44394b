// The selected token: the reason for its status, its figures, and the alternatives in p, q and the residual.
import { X } from "lucide-react";
import { lazy, type ReactNode, Suspense } from "react";
import { useStore } from "../../app/useStore";
import { attentionOf, siblingInfoIn } from "../../run/branches";
import type { Run, Token } from "../../run/model";
import { replacedBy, replacementOf, roundAt } from "../../run/selectors";
import { failedTest } from "../../run/token";
import { HelpGroup } from "../../ui/HelpGroup";
import { PlanNote } from "../../ui/PlanNote";
import { attentionWords } from "../../words/attention";
import { shown } from "../../words/format";
import { verdictSentence } from "../../words/verdicts";
import { AttentionMatrix } from "./AttentionMatrix";
import { DecisionFigure } from "./DecisionFigure";
import { RawScores } from "./RawScores";
import { Facts, TokenHead } from "./TokenCard";

/** Few tokens are rejected, so it loads with the first of them that is shown. */
const RoadNotTaken = lazy(() =>
  import("../../controls/RoadNotTaken").then((module) => ({ default: module.RoadNotTaken })),
);

export function TokenDetail({ run, token }: { run: Run; token: Token }) {
  const store = useStore();
  const replaced = replacedBy(run, token);
  const replacement = replacementOf(run, token);
  const close = () => store.select(null);
  // A resampled token has no draft of its own. Its q is that of the token it replaced.
  const draft = token.draft ?? replaced[0]?.draft;
  const round = roundAt(run, token.round);
  const attention = attentionOf(run, token.key);
  return (
    <aside
      aria-label="Token details"
      className="detail"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
      tabIndex={0}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <HelpGroup>
        <div className="space-y-3">
          <div className="flex items-start justify-between gap-2">
            <TokenHead token={token} />
            <button
              type="button"
              className="icon-button -mt-1 -mr-2"
              onClick={close}
              aria-label="Close token details"
            >
              <X size={15} aria-hidden />
            </button>
          </div>
          <p className="text-[13px] text-soft">{verdictSentence(token)}</p>
          <DecisionFigure run={run} token={token} />
          <Others word="Replaces" tokens={replaced} />
          {replacement && <Others word={wordOf(replacement)} tokens={[replacement]} />}
          <Facts token={token} siblingInfo={siblingInfoIn(run, token)} explained />
          {round?.metrics?.plan && (
            <section aria-label={`Plan of round ${token.round + 1}`}>
              <h3 className="mb-1 text-[12px] font-medium text-soft">Plan of round {token.round + 1}</h3>
              <PlanNote metrics={round.metrics} />
            </section>
          )}
          {failedTest(token) && (
            <Suspense fallback={null}>
              <RoadNotTaken key={token.key} run={run} token={token} />
            </Suspense>
          )}
          <RawScores token={token} draft={draft?.top_tokens ?? []} />
          {attention && <p className="text-[12px] text-soft">{attentionWords(attention)}</p>}
          {round && token.node !== null && <AttentionMatrix round={round} token={token} />}
        </div>
      </HelpGroup>
    </aside>
  );
}

const wordOf = ({ status }: Token): string => (status === "accepted" ? "Accepted instead:" : "Replaced by");

function Others({ word, tokens }: { word: string; tokens: readonly Token[] }): ReactNode {
  const store = useStore();
  if (tokens.length === 0) return null;
  return (
    <p className="flex flex-wrap items-baseline gap-1.5 text-[13px] text-soft">
      {word}
      {tokens.map((token) => (
        <button
          key={token.key}
          type="button"
          data-status={token.status}
          className="token-name hover:bg-bg"
          onClick={() => store.select(token.key)}
        >
          {shown(token.label)}
        </button>
      ))}
    </p>
  );
}
