// The chosen token: why it is what it is, and what else target, draft and residual had to offer.
import { X } from "lucide-react";
import type { ReactNode } from "react";
import type { TopToken } from "../protocol/generated";
import { verdictSentence } from "../state/facts";
import { percent, probability, shown } from "../state/format";
import type { Run, Token } from "../state/model";
import { replacedBy, replacementOf } from "../state/selectors";
import { useStore } from "../state/useStore";
import { Facts, TokenHead } from "./TokenCard";

export function TokenDetail({ run, token }: { run: Run; token: Token }) {
  const store = useStore();
  const replaced = replacedBy(run, token);
  const replacement = replacementOf(run, token);
  const close = () => store.select(null);
  // A resampled token has no draft of its own: what the draft offered here is told by the one it replaced.
  const draft = token.draft ?? replaced?.draft;
  return (
    <aside
      aria-label="Token details"
      className="detail space-y-3"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
      tabIndex={0}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
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
      {replaced && <Other word="It replaced" token={replaced} />}
      {replacement && <Other word="It was replaced by" token={replacement} />}
      <Facts token={token} />
      <Alternatives title="Target p" tokens={token.verdict?.target_top_tokens} token={token} />
      <Alternatives title="Draft q" tokens={draft?.top_tokens} token={token} />
      <Alternatives
        title="Residual norm(max(0, p − q))"
        tokens={token.verdict?.residual_top_tokens}
        token={token}
      />
    </aside>
  );
}

function Other({ word, token }: { word: string; token: Token }): ReactNode {
  const store = useStore();
  return (
    <p className="text-[13px] text-soft">
      {word}{" "}
      <button
        type="button"
        data-status={token.status}
        className="token-name align-bottom hover:bg-bg"
        onClick={() => store.select(token.key)}
      >
        {shown(token.label)}
      </button>
    </p>
  );
}

interface AlternativesProps {
  title: string;
  tokens: readonly TopToken[] | undefined;
  token: Token;
}

function Alternatives({ title, tokens, token }: AlternativesProps) {
  if (!tokens || tokens.length === 0) return null;
  return (
    <section aria-label={title} data-status={token.status}>
      <h3 className="mb-1 text-[12px] font-medium text-soft">{title}</h3>
      <div className="bars">
        {tokens.map((top) => (
          <Bar key={top.token_id} top={top} chosen={top.token_id === token.tokenId} />
        ))}
      </div>
    </section>
  );
}

function Bar({ top, chosen }: { top: TopToken; chosen: boolean }) {
  const share = probability(top.logprob) ?? 0;
  return (
    <div className="contents" data-chosen={chosen || undefined}>
      <span className="bar-label" title={shown(top.token)}>
        {shown(top.token)}
      </span>
      <span className="bar" style={{ width: `${share * 100}%` }} />
      <span className="bar-value">{percent(share)}</span>
    </div>
  );
}
