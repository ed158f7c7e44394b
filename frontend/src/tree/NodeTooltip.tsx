// The figures of the token under the pointer.
import { Tooltip } from "radix-ui";
import type { SiblingInfo } from "../run/branches";
import type { Token } from "../run/model";
import { SourceBadge } from "../ui/SourceMark";
import { tokenFacts } from "../words/facts";
import { visible } from "../words/label";
import { STATUS, verdictSentence } from "../words/verdicts";

/** Screen readers skip the tooltip: the tree item has the same text. */
const HIDDEN = { "aria-hidden": true, "aria-describedby": undefined } as const;

interface Props {
  readonly token: Token;
  /** Null in a chain. */
  readonly siblingInfo: SiblingInfo | null;
  readonly x: number;
  readonly y: number;
  /** Radius of the node with a margin. */
  readonly room: number;
  /** x of the right end of its label. */
  readonly end: number;
  readonly wide: boolean;
}

export function NodeTooltip({ token, siblingInfo, x, y, room, end, wide }: Props) {
  // The tokens that a token of a tree attends to are above it and at its left, and must stay visible.
  const side = !siblingInfo ? "top" : wide ? "right" : "bottom";
  const place = side === "right" ? { left: x - room, width: end - x + room } : { left: x };
  return (
    <Tooltip.Provider>
      <Tooltip.Root open>
        <Tooltip.Trigger asChild>
          <span {...HIDDEN} className="tt-anchor" style={{ ...place, top: y - room, height: 2 * room }} />
        </Tooltip.Trigger>
        <Tooltip.Portal>
          <Tooltip.Content
            className="tooltip-body tt-tooltip"
            side={side}
            sideOffset={side === "right" ? 10 : 4}
            collisionPadding={8}
            aria-label="Token under the pointer"
          >
            <p className="tt-tooltip-head">
              <code>{visible(token.label)}</code>
              <span style={{ color: `var(--status-${token.status})` }}>
                {STATUS[token.status].glyph} {token.status}
              </span>
            </p>
            <dl>
              {tokenFacts(token, siblingInfo).map(({ term, value, source }) => (
                <div key={term}>
                  <dt>{term}</dt>
                  <dd>
                    {source !== undefined && <SourceBadge source={source} />}
                    {value}
                  </dd>
                </div>
              ))}
            </dl>
            <p className="tt-tooltip-why">{verdictSentence(token)}</p>
          </Tooltip.Content>
        </Tooltip.Portal>
      </Tooltip.Root>
    </Tooltip.Provider>
  );
}
