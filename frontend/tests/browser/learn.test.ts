// The place Learn: its addresses, by keyboard alone, at every width, in both themes.
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { SCENES } from "../../src/words/learn/scenes";
import { violations } from "./axe";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith(TOY);
const FIRST = SCENES[0];

const learn = async (tab: Tab, scene = "") => {
  // What is still loading when the page is left would count as a failed request.
  await tab.page.waitForLoadState("networkidle");
  await tab.page.goto(`${site.server.url}/learn${scene && `#${scene}`}`);
  await heading(tab.page).waitFor();
};
const heading = (page: Page) => page.getByRole("heading", { level: 2 });
const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Presses Tab until an element with this role and name has the focus. */
async function tabTo(page: Page, role: "link" | "button" | "slider" | "radio", name: string | RegExp) {
  const wanted = page.getByRole(role, { name }).first();
  for (let presses = 0; presses < 60; presses += 1) {
    if (await wanted.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab does not reach the ${role} ${name}.`);
}

describe.each([
  ["a desktop", DESKTOP],
  ["a phone", PHONE],
])("on %s", (_name, viewport) => {
  it.each(["dark", "light"] as const)(
    "every scene is accessible and fits in %s colours",
    async (colorScheme) => {
      const tab = await site.open({ colorScheme, viewport });
      for (const { id, title } of SCENES) {
        await learn(tab, id);
        await expect.poll(() => heading(tab.page).textContent(), soon).toBe(title);
        expect(await violations(tab)).toEqual([]);
        expect(await overflow(tab.page)).toBeLessThanOrEqual(0);
      }
      expect(tab.problems).toEqual([]);
    },
  );

  it("is reached and toured by keyboard", async () => {
    const tab = await site.open({ viewport });
    await tabTo(tab.page, "link", "Learn");
    await tab.page.keyboard.press("Enter");
    await heading(tab.page).waitFor();
    expect(new URL(tab.page.url()).pathname).toBe("/learn");
    for (const { title } of SCENES.slice(1)) {
      await tabTo(tab.page, "link", `${title} →`);
      await tab.page.keyboard.press("Enter");
      await expect.poll(() => heading(tab.page).textContent(), soon).toBe(title);
      expect(await heading(tab.page).evaluate((own) => own === document.activeElement)).toBe(true);
    }
    for (const _scene of SCENES) await tab.page.goBack();
    await tab.prompt.or(tab.tree).first().waitFor();
    expect(new URL(tab.page.url()).pathname).toBe("/");
  });
});

it("draws a thousand tokens by keyboard, which follow p, and with a broken rule do not", async () => {
  const tab = await site.open();
  await learn(tab, "rule");
  const verdict = tab.page.getByRole("status");
  await tabTo(tab.page, "radio", "min(1, p/q)");
  await tabTo(tab.page, "button", "Draw 1,000");
  await tab.page.keyboard.press("Enter");
  await expect.poll(() => verdict.textContent(), soon).toMatch(/What came out follows p/);
  await tabTo(tab.page, "slider", "Target p of the");
  await tab.page.keyboard.press("PageDown");
  await expect
    .poll(() => verdict.textContent(), soon)
    .toBe("Nothing is drawn yet. Drag the blue ends of p and q, then draw.");
  await tab.page.getByRole("radio", { name: "min(1, p/q)" }).focus();
  await tab.arrowTo(tab.page.getByRole("radio", { name: "always accept" }), "ArrowRight");
  await tab.button("Draw 1,000").press("Enter");
  await expect.poll(() => verdict.textContent(), soon).toMatch(/does not follow p/);
});

it("needs no socket and no model", async () => {
  const tab = await site.open();
  await learn(tab, FIRST.id);
  const asked: string[] = [];
  tab.page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  tab.page.on("websocket", (socket) => asked.push(new URL(socket.url()).pathname));
  await tab.page.reload();
  await heading(tab.page).waitFor();
  expect(asked).toContain("/learn");
  expect(asked.filter((path) => /^\/(api|ws)\//.test(path))).toEqual([]);
  await tab.page.getByRole("link", { name: "Live", exact: true }).click();
  await expect.poll(() => asked, soon).toContain("/ws/tokens");
});
