// The panel on rejected tokens: it adds up, and its examples lead to their round, by mouse, keyboard and on a phone.
import { expect, it } from "vitest";
import { violations } from "./axe";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon } from "./tab";

const site = siteWith([...TOY, "-k", "4", "--temperature", "1", "--seed", "3"]);
const PANEL = "Why tokens were rejected";

it.each([
  { name: "a desktop", viewport: DESKTOP, colorScheme: "dark" as const },
  { name: "a phone", viewport: PHONE, colorScheme: "light" as const },
])("leads from an example to its round on $name", async ({ viewport, colorScheme }) => {
  const tab = await site.open({ viewport, colorScheme });
  const { autopsy } = await tab.run("once upon a time");
  if (!autopsy) throw new Error("expected an autopsy");
  const [cause] = autopsy.causes;
  const example = cause?.examples[0];
  if (!example) throw new Error("expected an example");
  const parts = autopsy.causes.reduce((sum, one) => sum + one.rejections, 0);
  expect(parts).toBeCloseTo(autopsy.rejected, 6);

  await tab.part("Figures");
  const panel = tab.region(PANEL);
  expect(await panel.textContent()).toContain(`${autopsy.rejected} of ${autopsy.tested} tested tokens`);
  await panel.locator("summary").first().focus();
  await tab.page.keyboard.press("Enter");
  const leads = panel
    .getByRole("button", { name: new RegExp(`^Round ${example.round + 1}\\b.*Show this round`) })
    .first();
  await leads.waitFor();
  expect(await violations(tab, `[aria-label="${PANEL}"]`)).toEqual([]);
  const overflow = () => tab.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(await overflow()).toBeLessThanOrEqual(0);
  await leads.focus();
  await tab.page.keyboard.press("Enter");

  await expect.poll(() => tab.scrubber.getAttribute("aria-valuenow"), soon).toBe(`${example.round + 1}`);
  await expect.poll(() => tab.tree.isVisible(), soon).toBe(true);
  await tab.part("Figures");
  await panel.waitFor();
  expect(tab.problems).toEqual([]);
});
