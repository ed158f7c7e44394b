// Acceptance over the kept runs: read, opened and followed to a token by keyboard alone, accessible in both themes.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { violations } from "./axe";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon } from "./tab";

let folder = "";
const site = siteWith(async () => {
  folder = await mkdtemp(join(tmpdir(), "anatomy-"));
  return [...TOY, "-k", "4", "--temperature", "1", "--store", join(folder, "runs.db")];
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each([
  ["dark", DESKTOP],
  ["light", PHONE],
] as const)("in %s colours", (colorScheme, viewport) => {
  it("counts the tested tokens of the runs, and leads from a row to a token in its run", async () => {
    const tab = await site.open({ colorScheme, viewport });
    await tab.run("two sorted lists");
    const tested = tab.ofType("verify_result").filter(({ status }) => /accepted|rejected/.test(status));
    await tab.page.getByRole("link", { name: "Runs" }).click();
    await tab.button("Acceptance over these runs").focus();
    await tab.page.keyboard.press("Enter");
    const anatomy = tab.region("Acceptance over these runs");
    await anatomy.getByRole("heading", { name: "By position" }).waitFor();
    const [, count] = /^([\d,]+) tested/.exec((await anatomy.getByRole("status").textContent()) ?? "") ?? [];
    expect(Number(count?.replace(",", ""))).toBeGreaterThanOrEqual(tested.length);
    expect(await violations(tab)).toEqual([]);
    const wider = () =>
      tab.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(await wider()).toBeLessThanOrEqual(0);

    const row = anatomy.getByRole("button", { name: /^1 \d+ % .*Show its tokens$/ });
    await row.focus();
    await tab.page.keyboard.press("Enter");
    expect(await row.getAttribute("aria-pressed")).toBe("true");
    const examples = anatomy.getByRole("region", { name: "Tokens in their text" });
    await examples.waitFor();
    expect(await violations(tab)).toEqual([]);
    expect(await wider()).toBeLessThanOrEqual(0);

    const link = examples.getByRole("link").first();
    const token = await link.locator("mark").textContent();
    await link.focus();
    await tab.page.keyboard.press("Enter");
    await tab.region("Kept run").waitFor();
    await tab.details.waitFor();
    await expect.poll(() => tab.details.locator(".token-name").first().textContent(), soon).toBe(token);
    expect(tab.problems).toEqual([]);
  });
});
