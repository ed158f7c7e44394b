// Blocks and lines of the text. A block that is not on the screen is neither laid out nor painted, and stays in the document:
// the browser searches it, selects it, and reads it to screen readers.
import { memo } from "react";
import type { Status, Token } from "../../run/model";
import type { Line } from "../../run/text";
import { TokenText, UndecidedText } from "./TokenText";

/** Keys of tokens that are marked, or null. */
interface Marks {
  readonly hovered: string | null;
  readonly selected: string | null;
  readonly tabStop: string | null;
}

const EMITTED: ReadonlySet<Status> = new Set<Status>(["accepted", "resampled", "bonus", "plain", "received"]);
/** A long line renders its tokens in pieces of so many, so that it does not render all of them when it grows. */
const PIECE = 32;

const sameMarks = (a: Marks, b: Marks): boolean =>
  a.hovered === b.hovered && a.selected === b.selected && a.tabStop === b.tabStop;

const sameLine = (a: Line, b: Line): boolean =>
  a === b || (a.length === b.length && a.every((token, at) => token === b[at]));

/** The marks on tokens of a line. */
function marksIn(tokens: Line, { hovered, selected, tabStop }: Marks): Marks {
  const within = (key: string | null) =>
    key !== null && tokens.some((token) => token.key === key) ? key : null;
  return { hovered: within(hovered), selected: within(selected), tabStop: within(tabStop) };
}

export const BlockText = memo(
  function BlockText({ lines, ...marks }: Marks & { lines: readonly Line[] }) {
    return (
      <div role="presentation" className="text-block">
        {lines.map((tokens) => (
          <LineText key={tokens[0]?.key} tokens={tokens} {...marksIn(tokens, marks)} />
        ))}
      </div>
    );
  },
  (a, b) => a.lines === b.lines && sameMarks(a, b),
);

type LineProps = Marks & { readonly tokens: Line };

const sameProps = (a: LineProps, b: LineProps): boolean => sameMarks(a, b) && sameLine(a.tokens, b.tokens);

export const LineText = memo(function LineText({ tokens, ...marks }: LineProps) {
  return (
    <div role="presentation">
      {piecesOf(tokens).map((piece) => (
        <Piece key={piece[0]?.key} tokens={piece} {...marksIn(piece, marks)} />
      ))}
    </div>
  );
}, sameProps);

function piecesOf(tokens: Line): Line[] {
  if (tokens.length <= PIECE) return [tokens];
  const count = Math.ceil(tokens.length / PIECE);
  return Array.from({ length: count }, (_, at) => tokens.slice(at * PIECE, (at + 1) * PIECE));
}

const Piece = memo(function Piece({ tokens, hovered, selected, tabStop }: LineProps) {
  return tokens.map((token: Token) =>
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
  );
}, sameProps);
