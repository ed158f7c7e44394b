// The place Runs: kept runs in a list, on the live page, by link, side by side; from the server and from the browser.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, describe, expect, it } from "vitest";
import { violations } from "./axe";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon, type Tab } from "./tab";

const folders: string[] = [];
const folder = async () => {
  folders.push(await mkdtemp(join(tmpdir(), "runs-")));
  return folders.at(-1) ?? "";
};
afterAll(async () => {
  for (const name of folders) await rm(name, { recursive: true, force: true });
});

const rows = (page: Page) => page.locator(".run-table tbody tr");
const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function generate(tab: Tab, prompt: string): Promise<void> {
  await tab.part("Prompt");
  await tab.prompt.fill(prompt);
  const before = tab.received.filter(({ type }) => type === "done").length;
  await tab.button("Generate").click();
  await expect.poll(() => tab.received.filter(({ type }) => type === "done").length, soon).toBe(before + 1);
}

async function list(tab: Tab, count: number): Promise<void> {
  await tab.page.getByRole("link", { name: "Runs" }).click();
  await tab.page.getByRole("heading", { level: 1, name: "Runs" }).waitFor();
  await expect.poll(() => rows(tab.page).count(), soon).toBe(count);
}

async function choose(page: Page, run: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${run}` }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

describe("with a server that keeps runs", () => {
  const site = siteWith(async () => [...TOY, "--store", join(await folder(), "runs.db")]);
  let count = 0;

  it.each([
    ["a desktop", DESKTOP],
    ["a phone", PHONE],
  ])("a run is listed, opened by its link, renamed and deleted on %s", async (name, viewport) => {
    const tab = await site.open({ viewport, permissions: ["clipboard-read", "clipboard-write"] });
    await generate(tab, `once upon ${name}`);
    count += 1;
    await list(tab, count);
    expect(await violations(tab)).toEqual([]);
    expect(await overflow(tab.page)).toBeLessThanOrEqual(0);

    await tab.page.getByRole("link", { name: `once upon ${name}` }).click();
    const banner = tab.region("Kept run");
    await banner.getByText(`once upon ${name}`).waitFor();
    await tab.page.keyboard.press("Home");
    await tab.page.keyboard.press("ArrowRight");
    await banner.getByRole("button", { name: "Copy link" }).click();
    await banner.getByRole("button", { name: "Link copied" }).waitFor();
    const link = await tab.page.evaluate(() => navigator.clipboard.readText());
    expect(link).toMatch(/\/runs\/[0-9a-f]{12}\?round=\d+$/);
    await tab.page.waitForLoadState("networkidle");
    await tab.page.goto(link);
    await banner.getByText(`once upon ${name}`).waitFor();
    const round = new URL(link).searchParams.get("round");
    await expect.poll(() => tab.scrubber.getAttribute("aria-valuenow"), soon).toBe(round);
    expect(await violations(tab)).toEqual([]);

    await list(tab, count);
    await choose(tab.page, `once upon ${name}`, "Rename");
    await tab.page.keyboard.type("my run");
    await tab.page.keyboard.press("Enter");
    await tab.page.getByRole("link", { name: "my run" }).waitFor();
    await choose(tab.page, "my run", "Delete…");
    await tab.page.getByRole("alertdialog").getByRole("button", { name: "Keep" }).click();
    await expect.poll(() => rows(tab.page).count(), soon).toBe(count);
    await choose(tab.page, "my run", "Delete…");
    await tab.page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
    count -= 1;
    await expect.poll(() => rows(tab.page).count(), soon).toBe(count);
    expect(tab.problems).toEqual([]);
  });

  it("two runs stand side by side, a search finds one, and a saved trace opens again", async () => {
    const tab = await site.open();
    await generate(tab, "one prompt");
    await generate(tab, "another prompt");
    count += 2;
    await list(tab, count);
    await tab.page.getByRole("checkbox", { name: "Compare one prompt" }).check();
    await tab.page.getByRole("checkbox", { name: "Compare another prompt" }).check();
    const compared = tab.region("Two runs side by side");
    await compared.getByText(/^The texts (are equal|differ)/).waitFor();
    expect(await violations(tab)).toEqual([]);

    await tab.page.getByRole("searchbox").fill("another");
    await expect.poll(() => rows(tab.page).count(), soon).toBe(1);
    const saving = tab.page.waitForEvent("download");
    await choose(tab.page, "another prompt", "Save the trace");
    const file = join(await folder(), "saved.jsonl");
    await (await saving).saveAs(file);
    expect((await readFile(file, "utf8")).split("\n")[0]).toContain('"type":"trace"');
    const choosing = tab.page.waitForEvent("filechooser");
    await tab.button("Open a trace file").click();
    await (await choosing).setFiles(file);
    await tab.region("Kept run").getByText("saved.jsonl").waitFor();
    await expect.poll(() => tab.text.textContent(), soon).not.toBe("");

    const cut = join(await folder(), "cut.jsonl");
    await writeFile(cut, (await readFile(file, "utf8")).slice(0, -200));
    await list(tab, count);
    const again = tab.page.waitForEvent("filechooser");
    await tab.button("Open a trace file").click();
    await (await again).setFiles(cut);
    await tab
      .region("Kept run")
      .getByText(/was cut off there|ends before its run does/)
      .waitFor();
    expect(tab.problems).toEqual([]);
  });

  it("an unknown run is refused in words, and a new run leaves the address of a kept one", async () => {
    const tab = await site.open();
    await tab.page.waitForLoadState("networkidle");
    await tab.page.goto(`${site.server.url}/runs/abcdabcd`);
    await tab
      .region("Kept run")
      .getByText(/There is no run 'abcdabcd'/)
      .waitFor();
    await tab.page.goto(`${site.server.url}/runs/last`);
    await tab.region("Kept run").getByRole("button", { name: "Copy link" }).waitFor();
    await tab.button("Generate").click();
    await expect.poll(() => new URL(tab.page.url()).pathname, soon).toBe("/");
    count += 1;
  });
});

describe("with a server that keeps none", () => {
  const site = siteWith(TOY);

  it("the browser keeps the runs", async () => {
    const tab = await site.open({ colorScheme: "light" });
    await generate(tab, "kept here");
    await expect
      .poll(async () => {
        await tab.page.getByRole("link", { name: "Live" }).click();
        await tab.page.getByRole("link", { name: "Runs" }).click();
        await tab.page.getByText("The last 20 runs of this browser").waitFor();
        return rows(tab.page).count();
      }, soon)
      .toBe(1);
    expect(await violations(tab)).toEqual([]);
    await tab.page.reload();
    await tab.page.getByRole("link", { name: "kept here" }).click();
    await tab.region("Kept run").getByText("kept here").waitFor();
    await expect.poll(() => tab.text.textContent(), soon).not.toBe("");
    expect(tab.problems).toEqual([]);
  });
});
