// Accessibility checks by axe.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { expect } from "vitest";
import { soon, type Tab } from "./tab";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The serious and critical violations in the page, or in a part of it, such as an open list that holds the focus. */
export async function violations(tab: Tab, part = ":root"): Promise<string[]> {
  await settled(tab);
  // Evaluated, because the server's content security policy refuses inline scripts.
  await tab.page.evaluate(AXE);
  const results = await tab.page.evaluate(async (selector) => {
    const { axe } = window as unknown as { axe: { run(part: string): Promise<AxeResults> } };
    return await axe.run(selector);
  }, part);
  return results.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)}`);
}

/** Waits for the end of all transitions, whose colours have no meaningful contrast. */
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
