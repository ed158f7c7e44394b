// The classroom: a presenter and visitors on the real server, accessible at every width, and the road not taken beside it.
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { violations } from "./axe";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith([...TOY, "-k", "4", "--temperature", "0"]);
const PROMPT = "two sorted lists";

const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** A page behind another one draws no frames, and a click waits for them. */
const before = (tab: Tab) => tab.page.bringToFront();

async function classroom(tab: Tab): Promise<void> {
  await tab.page.waitForLoadState("networkidle");
  await tab.page.goto(`${site.server.url}/classroom`);
  await tab.page.getByRole("heading", { level: 1, name: "Classroom" }).waitFor();
}

it("lets visitors bet before the decisions are shown, come late, and come back", async () => {
  const presenter = await site.open({ viewport: DESKTOP, colorScheme: "light" });
  const visitor = await site.open({ viewport: PHONE, colorScheme: "dark" });
  await classroom(presenter);
  await classroom(visitor);
  await visitor.page.getByText("No classroom is open yet.").waitFor();
  expect(await violations(visitor)).toEqual([]);
  await before(presenter);
  await presenter.button("Open the classroom").click();
  await before(visitor);
  await visitor.page.getByRole("textbox").fill("Zoë <b>");
  await visitor.button("Take part").click();
  await before(presenter);
  await presenter.page.getByText("1 visitor here.").waitFor();
  await presenter.prompt.fill(PROMPT);
  const decode = presenter.button("Decode an answer");
  await expect.poll(() => decode.getAttribute("aria-disabled"), soon).toBe("false");
  expect(await violations(presenter)).toEqual([]);
  await decode.click();

  const bets = visitor.page.locator("button.classroom-token");
  await before(visitor);
  await bets.first().waitFor({ timeout: soon.timeout });
  await bets.first().click();
  await bets.last().click();
  await expect.poll(() => bets.last().getAttribute("aria-pressed"), soon).toBe("true");
  await presenter.page.getByText("1 bet of 1 visitor.").waitFor();
  expect(await visitor.page.getByText(/target \d/).count()).toBe(0);
  expect(await violations(visitor)).toEqual([]);
  await before(presenter);
  expect(await violations(presenter)).toEqual([]);
  await presenter.button("Show the decisions").click();
  const gained = visitor.page.getByText(/You called \d of \d decisions? right\./);
  await before(visitor);
  await gained.waitFor();
  const decided = await visitor.page.getByRole("list", { name: "Decisions" }).locator("li").count();
  expect(decided).toBeGreaterThan(1);
  for (const tab of [visitor, presenter]) {
    await before(tab);
    expect(await violations(tab)).toEqual([]);
    expect(await overflow(tab.page)).toBeLessThanOrEqual(0);
  }
  const standing = await visitor.page.locator(".classroom-you").textContent();
  expect(standing).toContain("Zoë <b>: ");
  await before(visitor);
  await visitor.page.reload();
  await expect.poll(() => visitor.page.locator(".classroom-you").textContent(), soon).toBe(standing);
  await before(presenter);
  await presenter.page.reload();
  await presenter.button("Next round").click();
  await visitor.page.getByText("Where does the target stop?").waitFor();
  await presenter.button("Close the classroom").click();
  await visitor.page.getByText("No classroom is open yet.").waitFor();
  for (const tab of [visitor, presenter]) expect(tab.problems).toEqual([]);
});

it("lets the drafter write on from a rejected token of a run and of a race", async () => {
  const tab = await site.open({ viewport: DESKTOP, reducedMotion: "reduce" });
  await tab.run(PROMPT);
  const rejected = tab.ofType("verify_result").find(({ status }) => status === "rejected");
  expect(rejected).toBeDefined();
  await tab.page.getByRole("link", { name: "Compare", exact: true }).click();
  const start = tab.button("Start the race");
  await expect.poll(() => start.getAttribute("aria-disabled"), soon).toBe("false");
  await start.click();
  const tokens = tab.page.locator(".road-token");
  await tokens.first().waitFor({ timeout: soon.timeout });
  await tokens.first().click();
  await tab.button("Write on with the draft alone").click();
  await tab.page.getByText("No target verified them").waitFor({ timeout: soon.timeout });
  expect(await tab.page.locator(".road-texts dd").count()).toBe(2);
  expect(await violations(tab)).toEqual([]);
  expect(await overflow(tab.page)).toBeLessThanOrEqual(0);
  expect(tab.problems).toEqual([]);
});
