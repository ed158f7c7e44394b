// Tokens in the text. Colour and underline show the status.
import { memo, type ReactNode } from "react";
import type { Token } from "../../run/model";
import { failedTest } from "../../run/token";
import { shown, spoken } from "../../words/format";
import { isGiven, sourceOf } from "../../words/sources";
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
  const source = token.draft?.source ?? "";
  const given = status === "accepted" && isGiven(source);
  return (
    <span
      role="option"
      aria-selected={selected}
      aria-label={`${spoken(text || label)}, ${STATUS[status].name}${given ? `, ${sourceOf(source).title}` : ""}`}
      tabIndex={tabStop ? 0 : -1}
      className={text === "" ? "token token-empty" : "token"}
      data-key={token.key}
      data-status={status}
      data-given={given ? source : undefined}
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
