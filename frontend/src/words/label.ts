// Token text as labels: visible white space, short runs, a limited width in cells of a monospaced font.

const SYMBOLS: Record<string, string> = { " ": "·", "\n": "↵", "\t": "⇥", "\r": "␍" };
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const LONGEST_PLAIN_RUN = 2;

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]|\p{Emoji_Presentation}/u;

function superscript(count: number): string {
  return [...String(count)].map((digit) => SUPERSCRIPTS[Number(digit)]).join("");
}

function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** A token with every character visible: `" the"` → `·the`, eight spaces → `·⁸`, the empty token → `∅`. */
export function visible(label: string): string {
  if (label === "") return "∅";
  const withSymbols = label.replace(/ +|\n+|\t+|\r+/g, (run) => {
    const symbol = SYMBOLS[run[0] ?? ""] ?? "";
    return run.length > LONGEST_PLAIN_RUN ? symbol + superscript(run.length) : symbol.repeat(run.length);
  });
  if (!INVISIBLE.test(withSymbols)) return withSymbols;
  return graphemes(withSymbols)
    .map((part) => ([...part].length === 1 && INVISIBLE.test(part) ? codePoint(part) : part))
    .join("");
}

function graphemes(text: string): string[] {
  return Array.from(segmenter.segment(text), (part) => part.segment);
}

/** Printable ASCII and the symbols above take one cell per character. */
const SINGLE = /^[\x20-\x7e·↵⇥␍⁰¹²³⁴-⁹…]*$/;

/** Width in cells of a monospaced font. East Asian characters and emoji take two. */
export function cells(text: string): number {
  if (SINGLE.test(text)) return text.length;
  let width = 0;
  for (const part of graphemes(text)) width += WIDE.test(part) ? 2 : 1;
  return width;
}

/** The text, shortened to at most `limit` cells with an ellipsis at its end. */
export function elide(text: string, limit: number): string {
  if (cells(text) <= limit) return text;
  let kept = "";
  let width = 0;
  for (const part of graphemes(text)) {
    width += cells(part);
    if (width > limit - 1) break;
    kept += part;
  }
  return `${kept}…`;
}
