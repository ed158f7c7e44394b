// The figures of the token under the pointer or the focus.
import { createPortal } from "react-dom";
import type { SiblingInfo } from "../../run/branches";
import type { Token } from "../../run/model";
import { HelpTooltip } from "../../ui/HelpTooltip";
import { SourceBadge } from "../../ui/SourceMark";
import { tokenFacts } from "../../words/facts";
import { shown } from "../../words/format";
import { STATUS, verdictSentence } from "../../words/verdicts";

const WIDTH_PX = 292;
/** The largest height, with the playback bar. */
const HEIGHT_PX = 350;
const GAP_PX = 6;

/** Below the token, or above it without space below; never outside the window. */
export function cardPosition(anchor: DOMRect, view: { width: number; height: number }) {
  const left = Math.max(8, Math.min(anchor.left, view.width - WIDTH_PX - 8));
  const below = anchor.bottom + GAP_PX;
  if (below + HEIGHT_PX <= view.height || anchor.top < HEIGHT_PX) return { left, top: below };
  return { left, bottom: view.height - anchor.top + GAP_PX };
}

export function TokenHead({ token }: { token: Token }) {
  return (
    <p data-status={token.status} className="flex items-center gap-2">
      <span className="token-name">{shown(token.label)}</span>
      <span className="text-[12px] font-medium whitespace-nowrap text-(--status)">
        <span aria-hidden>{STATUS[token.status].glyph} </span>
        {STATUS[token.status].name}
      </span>
    </p>
  );
}

interface FactsProps {
  readonly token: Token;
  readonly siblingInfo: SiblingInfo | null;
  /** Whether each term opens its explanation; a card under the pointer cannot be reached. */
  readonly explained?: boolean;
}

export function Facts({ token, siblingInfo, explained = false }: FactsProps) {
  return (
    <dl className="facts">
      {tokenFacts(token, siblingInfo).map(({ term, value, help, source }) => (
        <div key={term} className="contents">
          <dt>{explained ? <HelpTooltip help={help}>{term}</HelpTooltip> : term}</dt>
          <dd>
            {source !== undefined && <SourceBadge source={source} />}
            {value}
          </dd>
        </div>
      ))}
    </dl>
  );
}

interface Props {
  readonly token: Token;
  /** Null in a chain. */
  readonly siblingInfo: SiblingInfo | null;
  readonly anchor: DOMRect;
}

export function TokenCard({ token, siblingInfo, anchor }: Props) {
  const position = cardPosition(anchor, { width: window.innerWidth, height: window.innerHeight });
  return createPortal(
    <div aria-hidden className="popover token-card space-y-2" style={position}>
      <TokenHead token={token} />
      <p className="text-[12px]">{verdictSentence(token)}</p>
      <Facts token={token} siblingInfo={siblingInfo} />
    </div>,
    document.body,
  );
}
