// The key numbers of the token under the pointer.
import { Tooltip } from "radix-ui";
import { STATUS, tokenFacts, verdictSentence } from "../state/facts";
import type { Token } from "../state/model";
import { visible } from "./label";

interface Props {
  readonly token: Token;
  readonly x: number;
  readonly y: number;
  readonly room: number;
}

export function NodeTip({ token, x, y, room }: Props) {
  return (
    <Tooltip.Provider>
      <Tooltip.Root open>
        <Tooltip.Trigger asChild>
          <span className="tt-anchor" style={{ left: x, top: y - room, height: 2 * room }} />
        </Tooltip.Trigger>
        <Tooltip.Portal>
          <Tooltip.Content
            className="explain-body tt-tip"
            side="top"
            sideOffset={4}
            collisionPadding={8}
            aria-label=" "
          >
            <p className="tt-tip-head">
              <code>{visible(token.label)}</code>
              <span style={{ color: `var(--status-${token.status})` }}>
                {STATUS[token.status].glyph} {token.status}
              </span>
            </p>
            <dl>
              {tokenFacts(token).map(({ term, value }) => (
                <div key={term}>
                  <dt>{term}</dt>
                  <dd>{value}</dd>
                </div>
              ))}
            </dl>
            <p className="tt-tip-why">{verdictSentence(token)}</p>
          </Tooltip.Content>
        </Tooltip.Portal>
      </Tooltip.Root>
    </Tooltip.Provider>
  );
}
