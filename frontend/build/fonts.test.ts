// @vitest-environment node
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { FONTS, LATIN, subset, WEIGHTS } from "./fonts";

const SRC = new URL("../src/", import.meta.url);
const styles = readdirSync(SRC, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith(".css"))
  .map((name) => readFileSync(new URL(name, SRC), "utf8"))
  .join("\n");
const fontStyles = readFileSync(new URL("fonts.css", SRC), "utf8");

it("makes each font about half as large", async () => {
  for (const font of Object.values(FONTS)) {
    const source = new URL(`../node_modules/@fontsource-variable/${font.source}`, import.meta.url);
    const made = await subset(font);
    expect(made.subarray(0, 4).toString()).toBe("wOF2");
    expect(made.length).toBeGreaterThan(10_000);
    expect(made.length).toBeLessThan(0.55 * readFileSync(source).length);
  }
});

it("keeps the letters that the styles say it has", () => {
  const ranges = [...fontStyles.matchAll(/unicode-range:([^;]+);/g)].map(([, text = ""]) =>
    [...text.matchAll(/U\+([0-9A-F]+)(?:-([0-9A-F]+))?/g)].map(([, from = "", to]) => [
      Number.parseInt(from, 16),
      Number.parseInt(to ?? from, 16),
    ]),
  );
  expect(ranges).toEqual([LATIN, LATIN]);
});

it("keeps every weight that a style asks for", () => {
  const weights = [...styles.matchAll(/font-weight: (\d+)(?: (\d+))?;/g)].flatMap(([, one, other]) =>
    other === undefined ? [Number(one)] : [Number(one), Number(other)],
  );
  expect(weights).toContain(WEIGHTS.min);
  expect(Math.min(...weights)).toBe(WEIGHTS.min);
  expect(Math.max(...weights)).toBe(WEIGHTS.max);
});

it("keeps the features that a style turns on", () => {
  const settings = [...styles.matchAll(/font-feature-settings:([^;]+);/g)].flatMap(([, text = ""]) =>
    [...text.matchAll(/"(\w+)"/g)].map(([, name = ""]) => name),
  );
  expect(settings.length).toBeGreaterThan(0);
  expect(styles).toContain("tabular-nums");
  for (const name of [...settings, "tnum"]) expect(FONTS["inter.woff2"]?.features).toContain(name);
});
