// The place Traffic: requests of another program appear while they are computed, and open in the player.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { violations } from "./axe";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon } from "./tab";

const folders: string[] = [];
const site = siteWith(async () => {
  folders.push(await mkdtemp(join(tmpdir(), "traffic-")));
  return [...TOY, "--store", join(folders.at(-1) ?? "", "runs.db")];
});
afterAll(async () => {
  for (const name of folders) await rm(name, { recursive: true, force: true });
});

const complete = (prompt: string) =>
  fetch(`${site.server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt, max_tokens: 16, ignore_eos: true }),
  });

const requests: string[] = [];

it.each([
  ["a desktop", DESKTOP],
  ["a phone", PHONE],
])("lists a request of another program live, and opens its run, on %s", async (name, viewport) => {
  const tab = await site.open({ viewport });
  await tab.page.getByRole("link", { name: "Traffic" }).click();
  await tab.page.getByRole("heading", { level: 1, name: "Traffic" }).waitFor();
  const list = tab.page.getByRole("row").filter({ has: tab.page.getByRole("cell", { name: "done" }) });
  // The list is there once it has the requests of earlier tests.
  await expect.poll(() => list.count(), soon).toBe(requests.length);
  const prompt = `asked by ${name}`;
  requests.push(prompt);
  expect((await complete(prompt)).status).toBe(200);
  await expect.poll(() => list.count(), soon).toBe(requests.length);
  expect(await tab.page.getByText(prompt).count()).toBe(0);
  expect(await tab.page.getByRole("link", { name: /^cmpl-/ }).count()).toBe(requests.length);

  await tab.page.getByRole("checkbox", { name: "Show the beginning of each prompt" }).check();
  const link = tab.page.getByRole("link", { name: prompt });
  await link.waitFor();
  expect(await violations(tab)).toEqual([]);
  const overflow = () =>
    tab.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(await overflow()).toBeLessThanOrEqual(0);

  await link.click();
  await tab.region("Kept run").getByText(prompt).waitFor();
  await tab.part("Text");
  await expect.poll(() => tab.text.textContent(), soon).not.toBe("");
  expect(tab.problems).toEqual([]);
});
