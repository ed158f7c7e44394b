// Tokens in the text. Colour and underline show the status.
import { memo, type ReactNode } from "react";
import type { Status, Token } from "../../run/model";
import { failedTest } from "../../run/token";
import { shown, spoken } from "../../words/format";
import { STATUS } from "../../words/verdicts";

const PIECES = /(\n|\t| {2,}|^ +$)/;

/** Visible white space. The style sheet draws its symbols, so that copied text does not contain them. */
function pieces(text: string): ReactNode[] {
  let at = 0;
  return text.split(PIECES).map((piece) => {
    const key = at;
    at += piece.length;
    if (piece === "\n") return [<span key={key} className="mark-newline" />, "\n"];
    if (piece === "\t")
      return (
        <span key={key} className="mark-tab">
          {"\t"}
        </span>
      );
    if (/^ +$/.test(piece))
      return (
        <span key={key} className="mark-spaces">
          {piece}
        </span>
      );
    return piece;
  });
}

interface Props {
  token: Token;
  hovered: boolean;
  selected: boolean;
  tabStop: boolean;
}

export const TokenText = memo(function TokenText({ token, hovered, selected, tabStop }: Props) {
  const { status, label, text } = token;
  return (
    <span
      role="option"
      aria-selected={selected}
      aria-label={`${spoken(text || label)}, ${STATUS[status].name}`}
      tabIndex={tabStop ? 0 : -1}
      className={text === "" ? "token token-empty" : "token"}
      data-key={token.key}
      data-status={status}
      data-hovered={hovered || undefined}
    >
      {text === "" ? shown(label) : pieces(text)}
    </span>
  );
});

/** A drafted token without a verdict, or one that failed its test. */
export const UndecidedText = memo(function UndecidedText({
  token,
  hovered,
}: {
  token: Token;
  hovered: boolean;
}) {
  return (
    <span
      aria-hidden
      className="token token-undecided"
      data-key={token.key}
      data-status={token.status}
      data-struck={failedTest(token) || undefined}
      data-hovered={hovered || undefined}
    >
      {shown(token.label).replace(/^·/, " ")}
    </span>
  );
});

interface LineProps {
  tokens: readonly Token[];
  /** Keys of tokens of this line, or null. */
  hovered: string | null;
  selected: string | null;
  tabStop: string | null;
}

const EMITTED: ReadonlySet<Status> = new Set<Status>(["accepted", "resampled", "bonus", "plain"]);

function sameLine(a: LineProps, b: LineProps): boolean {
  return (
    a.hovered === b.hovered &&
    a.selected === b.selected &&
    a.tabStop === b.tabStop &&
    a.tokens.length === b.tokens.length &&
    a.tokens.every((token, at) => token === b.tokens[at])
  );
}

export const LineText = memo(function LineText({ tokens, hovered, selected, tabStop }: LineProps) {
  return (
    <div role="presentation">
      {tokens.map((token) =>
        EMITTED.has(token.status) ? (
          <TokenText
            key={token.key}
            token={token}
            hovered={token.key === hovered}
            selected={token.key === selected}
            tabStop={token.key === tabStop}
          />
        ) : (
          <UndecidedText key={token.key} token={token} hovered={token.key === hovered} />
        ),
      )}
    </div>
  );
}, sameLine);
