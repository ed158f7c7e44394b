// The place Compare: a race on the toy model, by keyboard alone, at every width, in both themes.
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import type { ServerMessage } from "../../src/protocol/generated";
import { violations } from "./axe";
import { lasting } from "./lasting";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith([...TOY, "-k", "4", "--temperature", "0", "--race-targets", "toy:1"]);
const PROMPT = "two sorted lists";

const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const region = (tab: Tab, name: string) => tab.page.getByRole("region", { name, exact: true });
const finished = (tab: Tab) => tab.page.getByRole("status").filter({ hasText: /finish/ });

async function compare(tab: Tab): Promise<void> {
  await tab.page.getByRole("link", { name: "Compare", exact: true }).focus();
  await tab.page.keyboard.press("Enter");
  await tab.page.getByRole("heading", { level: 1, name: "Race" }).waitFor();
  const start = tab.button("Start the race");
  await expect.poll(() => start.getAttribute("aria-disabled"), soon).toBe("false");
}

async function race(tab: Tab): Promise<void> {
  await tab.prompt.fill(PROMPT);
  await tab.button("Start the race").focus();
  await tab.page.keyboard.press("Enter");
  await finished(tab).waitFor({ timeout: soon.timeout });
}

const starts = (tab: Tab) => tab.sent.filter(({ type }) => type === "start");
/** Whether a run began before the one before it had ended. */
function overlapped(messages: readonly ServerMessage[]): boolean {
  let open = 0;
  return messages.some(({ type }) => {
    if (type === "started") open += 1;
    if (type === "done") open -= 1;
    return open > 1;
  });
}

describe.each([
  ["a desktop", DESKTOP, "dark"],
  ["a desktop", DESKTOP, "light"],
  ["a phone", PHONE, "dark"],
  ["a phone", PHONE, "light"],
] as const)("on %s", (_name, viewport, colorScheme) => {
  it(`is accessible and fits in ${colorScheme} colours, before and after a race`, async () => {
    const tab = await site.open({ viewport, colorScheme, reducedMotion: "reduce" });
    await compare(tab);
    expect(await violations(tab)).toEqual([]);
    await race(tab);
    expect(await violations(tab)).toEqual([]);
    expect(await overflow(tab.page)).toBeLessThanOrEqual(0);
    expect(tab.problems).toEqual([]);
  });
});

it("runs its lanes one after the other, shows what the server sent, and is replayed by keyboard", async () => {
  const tab = await site.open({ reducedMotion: "reduce" });
  await compare(tab);
  await tab.page.getByRole("radio", { name: "3 times" }).click();
  await race(tab);
  expect(starts(tab)).toHaveLength(9);
  expect(starts(tab).every((message) => "prompt" in message && message.prompt === PROMPT)).toBe(true);
  expect(overlapped(tab.received)).toBe(false);

  const texts = new Set(tab.ofType("done").map(({ generated_text }) => generated_text));
  expect(texts.size).toBe(1);
  for (const number of [1, 2, 3]) {
    expect(await region(tab, `Text of lane ${number}`).textContent()).toBe([...texts][0]);
  }
  expect(await tab.page.getByText("The same tokens as lane 1.").count()).toBe(2);

  const clock = tab.page.getByRole("slider", { name: "Time of the race" });
  await clock.focus();
  await clock.press("Home");
  await expect.poll(() => region(tab, "Text of lane 1").textContent(), soon).toBe("");
  await tab.button("Play").press("Enter");
  await tab.button("Play again").waitFor();
  expect(await region(tab, "Text of lane 1").textContent()).toBe([...texts][0]);
  await tab.page.getByRole("link", { name: "Live", exact: true }).click();
  await tab.button("Generate").waitFor();
  await tab.page.goBack();
  await finished(tab).waitFor();
});

it("races two targets, compares the texts of one target only, and leaves the server with its own", async () => {
  const tab = await site.open({ reducedMotion: "reduce" });
  await compare(tab);
  await tab.page.getByRole("combobox", { name: "Target of lane 2" }).selectOption("toy:1");
  await tab.page.getByRole("combobox", { name: "Target of lane 3" }).selectOption("toy:1");
  await race(tab);
  const targets = tab.ofType("started").map(({ target_model }) => target_model.name);
  expect(targets).toEqual(["toy-0", "toy-1", "toy-1"]);
  expect(overlapped(tab.received)).toBe(false);
  const [own, other, auto] = tab.ofType("done").map(({ generated_text }) => generated_text);
  expect(other).toBe(auto);
  expect(other).not.toBe(own);
  await tab.page.getByText(/The lanes have different targets/).waitFor();
  expect(await tab.page.getByText(/same tokens as lane 1|Differs from lane 1/).count()).toBe(0);
  expect(await tab.page.getByText("The same tokens as lane 2.").count()).toBe(1);
  expect(await tab.page.getByText(/Its target took .* to load and measure/).count()).toBe(1);
  expect(await violations(tab)).toEqual([]);
  expect(await overflow(tab.page)).toBeLessThanOrEqual(0);

  const health = await (await fetch(`${site.server.url}/api/health`)).json();
  expect(health.target_model.name).toBe("toy-0");
  await tab.button("Start the race").click();
  const loads = () => tab.ofType("loading").filter(({ stage }) => stage === "loaded").length;
  await expect.poll(loads, soon).toBe(2);
  expect(tab.problems).toEqual([]);
});

it("opens by its address, and can be stopped", async () => {
  const tab = await site.open({}, lasting);
  await tab.page.waitForLoadState("networkidle");
  await tab.page.goto(`${site.server.url}/compare`);
  const start = tab.button("Start the race");
  await expect.poll(() => start.getAttribute("aria-disabled"), soon).toBe("false");
  await tab.prompt.fill(PROMPT);
  await tab.maxTokens(1024);
  await tab.page.getByRole("radio", { name: "3 times" }).click();
  await start.click();
  await tab.until("metrics");
  await tab.button("Stop the race").click();
  await start.waitFor();
  expect(await finished(tab).count()).toBe(0);
  expect(starts(tab).length).toBeLessThan(9);
});

describe("a sweep", () => {
  it("measures every depth in turn, compares it with the formula, and opens a run", async () => {
    const tab = await site.open({ viewport: PHONE, colorScheme: "light", reducedMotion: "reduce" });
    await compare(tab);
    await tab.page.getByRole("link", { name: "Sweep" }).click();
    const start = tab.button("Start the sweep");
    await expect.poll(() => start.getAttribute("aria-disabled"), soon).toBe("false");
    expect(await violations(tab)).toEqual([]);
    await tab.prompt.fill(PROMPT);
    await start.click();
    const rows = tab.page.locator(".sweep-table tbody tr");
    await expect.poll(() => rows.count(), soon).toBe(9);
    await tab.page.getByText(/is the fastest: |No depth pays here:/).waitFor();
    const ran = starts(tab).map((message) => ("k" in message ? message.k : null));
    expect(ran).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(overlapped(tab.received)).toBe(false);
    expect(await violations(tab)).toEqual([]);
    expect(await overflow(tab.page)).toBeLessThanOrEqual(0);
    await tab.button("Open the run of K 3").click();
    await tab.region("Kept run").getByText("K 3 of the sweep").waitFor();
    await tab.part("Text");
    await expect.poll(() => tab.text.textContent(), soon).not.toBe("");
    expect(tab.problems).toEqual([]);
  });
});
