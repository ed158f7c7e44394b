// Token text made visible: whitespace as signs, runs counted, long labels elided, width in mono cells.

const NAMED: Record<string, string> = { " ": "·", "\n": "↵", "\t": "⇥", "\r": "␍" };
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

/** Every character of a token drawn: `" the"` → `·the`, eight spaces → `·⁸`, nothing at all → `∅`. */
export function visible(label: string): string {
  if (label === "") return "∅";
  const signed = label.replace(/ +|\n+|\t+|\r+/g, (run) => {
    const sign = NAMED[run[0] ?? ""] ?? "";
    return run.length > LONGEST_PLAIN_RUN ? sign + superscript(run.length) : sign.repeat(run.length);
  });
  if (!INVISIBLE.test(signed)) return signed;
  return graphemes(signed)
    .map((part) => ([...part].length === 1 && INVISIBLE.test(part) ? codePoint(part) : part))
    .join("");
}

function graphemes(text: string): string[] {
  return Array.from(segmenter.segment(text), (part) => part.segment);
}

/** Printable ASCII and the signs above: one character, one cell. */
const SINGLE = /^[\x20-\x7e·↵⇥␍⁰¹²³⁴-⁹…]*$/;

/** Width in monospace cells; East Asian characters and emoji take two. */
export function cells(text: string): number {
  if (SINGLE.test(text)) return text.length;
  let width = 0;
  for (const part of graphemes(text)) width += WIDE.test(part) ? 2 : 1;
  return width;
}

/** Shortened to at most `limit` cells, the last one an ellipsis. */
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
