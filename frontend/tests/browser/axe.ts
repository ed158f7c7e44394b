// What keeps people out, as far as a program can tell.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { expect } from "vitest";
import { soon, type Tab } from "./tab";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds serious or critical in the page as it stands, or in a part: an open list keeps the focus to itself. */
export async function violations(tab: Tab, part = ":root"): Promise<string[]> {
  await settled(tab);
  // Evaluated, for the server's content security policy refuses an inline script.
  await tab.page.evaluate(AXE);
  const results = await tab.page.evaluate(async (selector) => {
    const { axe } = window as unknown as { axe: { run(part: string): Promise<AxeResults> } };
    return await axe.run(selector);
  }, part);
  return results.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)}`);
}

/** Colours in transition are no one's contrast. */
export const settled = (tab: Tab) =>
  expect
    .poll(
      () =>
        tab.page.evaluate(() =>
          document.getAnimations().every(({ effect }) => {
            return effect?.getComputedTiming().endTime === Number.POSITIVE_INFINITY;
          }),
        ),
      soon,
    )
    .toBe(true);
