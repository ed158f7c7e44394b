// A run that was exported as one HTML file, opened from a disk.
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import type { ServerMessage } from "../../src/protocol/generated";
import { violations } from "./axe";
import { offline, program, RECORDING } from "./files";
import { PHONE } from "./site";
import { soon, type Tab } from "./tab";

/** The player without a run. docs/runs.md states this limit. */
const LARGEST_PLAYER_BYTES = 1_000_000;
const HOSTILE = "</script><script>document.title='broken'</script><!--";

const page = offline();

/** The recording with a token, and a prompt, that would end the script around it. */
async function hostileTrace(): Promise<{ file: string; text: string }> {
  const [header, ...lines] = (await readFile(RECORDING, "utf8")).trimEnd().split("\n");
  const events = lines.map((line) => JSON.parse(line) as ServerMessage);
  for (const event of events) {
    if (event.type === "started") event.prompt = `${HOSTILE} ${event.prompt}`;
    const isFirst = (event.type === "draft_token" || event.type === "verify_result") && event.round === 0;
    if (!isFirst || (event.node ?? 0) !== 0) continue;
    if (event.type === "draft_token") event.token = HOSTILE;
    else Object.assign(event, { draft_token: HOSTILE, final_token: HOSTILE, text: HOSTILE });
  }
  const file = join(page.folder(), "hostile.jsonl");
  await writeFile(file, [header, ...events.map((event) => JSON.stringify(event)), ""].join("\n"));
  const done = events.find((event) => event.type === "done");
  return { file, text: done?.type === "done" ? done.generated_text : "" };
}

async function exported(trace: string): Promise<string> {
  const file = join(page.folder(), "run.html");
  await program(["export", trace, "--html", file]);
  return file;
}

/** Ends the introduction, and shows the whole run. */
async function toTheEnd(tab: Tab): Promise<void> {
  await tab.button("Skip").click();
  await tab.page.keyboard.press("End");
  await expect.poll(() => tab.scrubber.getAttribute("aria-valuenow"), soon).not.toBe("0");
}

describe("an exported run", () => {
  it("plays from a disk with tree, text and figures, and asks for nothing", async () => {
    const { file, text } = await hostileTrace();
    const html = await exported(file);
    expect((await stat(html)).size - (await stat(RECORDING)).size / 2).toBeLessThan(LARGEST_PLAYER_BYTES);
    const address = pathToFileURL(html).href;
    const { tab, asked } = await page.open(address);
    await tab.button("Skip").click();
    await tab.page.keyboard.press("Home");
    await tab.page.keyboard.press("ArrowRight");
    await expect.poll(() => tab.text.textContent(), soon).toContain(HOSTILE);
    await tab.page.keyboard.press("End");
    await expect.poll(() => tab.text.textContent(), soon).toContain(text.trim().slice(-40));
    expect(await tab.prompt.inputValue()).toContain(HOSTILE);
    expect(await tab.tree.getByRole("treeitem").count()).toBeGreaterThan(0);
    expect(await tab.page.title()).toContain("</script>");
    await tab.region("Tokens per second").waitFor();
    expect(asked).toEqual([address]);
    expect(tab.problems).toEqual([]);
    const loaded = () =>
      [...document.fonts].filter(({ status }) => status === "loaded").map(({ family }) => family);
    expect((await tab.page.evaluate(loaded)).join()).toContain("Inter Variable");
  });

  it("is accessible, steps by keyboard and offers nothing that needs a server", async () => {
    const address = pathToFileURL(await exported(RECORDING)).href;
    const { tab } = await page.open(address, { viewport: PHONE, colorScheme: "light" });
    await toTheEnd(tab);
    await tab.page.keyboard.press("Home");
    const before = await tab.scrubber.getAttribute("aria-valuetext");
    await tab.page.keyboard.press("ArrowRight");
    await expect.poll(() => tab.scrubber.getAttribute("aria-valuetext"), soon).not.toBe(before);
    for (const name of ["Generate", "Measure plain now", /^Connection/]) {
      expect(await tab.button(name).count()).toBe(0);
    }
    expect(await tab.page.getByRole("navigation", { name: "Places" }).count()).toBe(0);
    expect(await violations(tab)).toEqual([]);
    expect(tab.problems).toEqual([]);
  });
});
