// The key numbers of the token under the pointer.
import { Tooltip } from "radix-ui";
import type { Kin } from "../run/branches";
import type { Token } from "../run/model";
import { visible } from "../ui/label";
import { OriginBadge } from "../ui/Origin";
import { tokenFacts } from "../words/facts";
import { STATUS, verdictSentence } from "../words/verdicts";

/** The tree has items alone, and the item says of itself what stands here. */
const UNSAID = { "aria-hidden": true, "aria-describedby": undefined } as const;

interface Props {
  readonly token: Token;
  /** Null in a chain. */
  readonly kin: Kin | null;
  readonly x: number;
  readonly y: number;
  readonly room: number;
  /** Where its label ends. */
  readonly end: number;
  readonly wide: boolean;
}

export function NodeTip({ token, kin, x, y, room, end, wide }: Props) {
  // What a token of a tree attends to stands above it and to its left, and is to be seen.
  const side = !kin ? "top" : wide ? "right" : "bottom";
  const place = side === "right" ? { left: x - room, width: end - x + room } : { left: x };
  return (
    <Tooltip.Provider>
      <Tooltip.Root open>
        <Tooltip.Trigger asChild>
          <span {...UNSAID} className="tt-anchor" style={{ ...place, top: y - room, height: 2 * room }} />
        </Tooltip.Trigger>
        <Tooltip.Portal>
          <Tooltip.Content
            className="explain-body tt-tip"
            side={side}
            sideOffset={side === "right" ? 10 : 4}
            collisionPadding={8}
            aria-label="The token pointed at"
          >
            <p className="tt-tip-head">
              <code>{visible(token.label)}</code>
              <span style={{ color: `var(--status-${token.status})` }}>
                {STATUS[token.status].glyph} {token.status}
              </span>
            </p>
            <dl>
              {tokenFacts(token, kin).map(({ term, value, source }) => (
                <div key={term}>
                  <dt>{term}</dt>
                  <dd>
                    {source !== undefined && <OriginBadge source={source} />}
                    {value}
                  </dd>
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
