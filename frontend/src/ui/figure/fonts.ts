// The page's fonts inside a picture: only those that its text needs.

/** A range of characters, both ends included. */
type Range = readonly [number, number];

/** The ranges of `unicode-range`; all characters without one. */
export function rangesOf(text: string): Range[] {
  const found = [...text.matchAll(/U\+([0-9A-F]+)(?:-([0-9A-F]+))?/gi)];
  if (found.length === 0) return [[0, 0x10ffff]];
  return found.map(([, from = "0", to]) => [Number.parseInt(from, 16), Number.parseInt(to ?? from, 16)]);
}

export const covers = (ranges: readonly Range[], text: string): boolean =>
  [...text].some((letter) => {
    const code = letter.codePointAt(0) ?? 0;
    return ranges.some(([from, to]) => code >= from && code <= to);
  });

const unquoted = (name: string): string => name.trim().replace(/^["']|["']$/g, "");

async function dataAddress(address: string): Promise<string | null> {
  if (address.startsWith("data:")) return address;
  try {
    const blob = await (await fetch(address)).blob();
    return await new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(`${reader.result}`);
      reader.onerror = () => resolve(null);
      reader.readAsDataURL(blob);
    });
  } catch {
    return null;
  }
}

interface Face {
  readonly rule: CSSFontFaceRule;
  readonly address: string;
}

function facesFor(families: ReadonlySet<string>, text: string): Face[] {
  return [...document.styleSheets].flatMap((sheet) =>
    [...sheet.cssRules].flatMap((rule) => {
      if (!(rule instanceof CSSFontFaceRule)) return [];
      const { style } = rule;
      const wanted = families.has(unquoted(style.getPropertyValue("font-family")));
      const address = /url\("?([^")]+)"?\)/.exec(style.getPropertyValue("src"))?.[1];
      if (!wanted || !address || !covers(rangesOf(style.getPropertyValue("unicode-range")), text)) return [];
      return [{ rule, address: new URL(address, sheet.href ?? document.baseURI).href }];
    }),
  );
}

/** The rules that embed the fonts of a text. A font that cannot be read is left out. */
export async function embeddedFonts(families: ReadonlySet<string>, text: string): Promise<string> {
  const rules = facesFor(families, text).map(async ({ rule: { style }, address }) => {
    const data = await dataAddress(address);
    if (data === null) return "";
    const family = unquoted(style.getPropertyValue("font-family"));
    const weight = style.getPropertyValue("font-weight") || "400";
    return `@font-face{font-family:'${family}';font-weight:${weight};src:url(${data}) format('woff2')}`;
  });
  return (await Promise.all(rules)).join("");
}
