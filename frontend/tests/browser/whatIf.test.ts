// "What if" on the page of a kept run: computed by the server, by mouse and keyboard, on a desktop and on a phone.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { violations } from "./axe";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon } from "./tab";

const folders: string[] = [];
afterAll(async () => {
  for (const name of folders) await rm(name, { recursive: true, force: true });
});

const site = siteWith(async () => {
  folders.push(await mkdtemp(join(tmpdir(), "what-if-")));
  return [...TOY, "--store", join(folders.at(-1) ?? "", "runs.db"), "--record-depth", "4"];
});

it.each([
  ["a desktop", DESKTOP],
  ["a phone", PHONE],
])("a kept run answers what it would have been on %s", async (name, viewport) => {
  const tab = await site.open({ viewport });
  await tab.part("Prompt");
  await tab.prompt.fill(`once upon ${name}`);
  await tab.button("Generate").click();
  await expect.poll(() => tab.received.some(({ type }) => type === "done"), soon).toBe(true);
  await tab.page.getByRole("link", { name: "Runs" }).click();
  await tab.page.getByRole("link", { name: `once upon ${name}` }).click();
  await tab.part("Figures");

  const panel = tab.region("What if");
  const answer = panel.getByRole("status");
  await answer.getByText(/would be the fastest/).waitFor();
  await panel.getByRole("img", { name: /^Computed tokens per second: plain [\d.]+, K 1 / }).waitFor();
  await panel.getByText("measured: the run as it was").waitFor();
  expect(await violations(tab)).toEqual([]);

  // On a machine whose passes cost the same for all rows a draft pays, on one where each row costs a pass it does not.
  await panel.getByText("Pass times of another machine").click();
  const table = panel.getByRole("textbox", { name: "Pass times of another machine" });
  await table.fill("1:100, 2:900, 3:1800, 5:3000");
  await expect.poll(() => answer.textContent(), soon).toMatch(/^Plain decoding would be the fastest/);
  await panel.getByText(/with the given pass times/).waitFor();
  await panel.getByRole("button", { name: "As the run was" }).click();
  await panel.getByText(/with the pass times of the recording machine/).waitFor();

  const depth = panel.getByRole("slider", { name: "Depth K shown" });
  await depth.focus();
  await tab.page.keyboard.press("Home");
  await panel.getByText(/^Plain: one token a round/).waitFor();
  await tab.page.keyboard.press("ArrowRight");
  await panel.getByText(/^K 1: .* tokens a round/).waitFor();
  const overflow = await tab.page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overflow).toBeLessThanOrEqual(0);
  expect(tab.problems).toEqual([]);
});
