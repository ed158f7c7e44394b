// A link to the form: it fills prompt and settings elsewhere, and starts nothing.
import { expect, it } from "vitest";
import { TOY } from "./server";
import { siteWith } from "./site";
import { soon } from "./tab";

const site = siteWith([...TOY, "-k", "4"]);
const PROMPT = "two lists & a “quoted” #word";

it("is copied by one reader, and opened by another, whose form waits for a press", async () => {
  const one = await site.open({ permissions: ["clipboard-read", "clipboard-write"] });
  await one.prompt.fill(PROMPT);
  await one.depth(7);
  await one.temperature(0.5);
  await one.button("Copy link to this form").click();
  await one.button("Link copied").waitFor();
  const link = await one.page.evaluate(() => navigator.clipboard.readText());
  expect(link.startsWith(`${site.server.url}/#`)).toBe(true);

  const other = await site.open();
  await other.page.waitForLoadState("networkidle");
  await other.page.goto(link);
  await other.page.reload();
  await other.page.goto(link);
  await expect.poll(() => other.prompt.inputValue(), soon).toBe(PROMPT);
  await other.page.getByText("Prompt and settings come from a link.").waitFor();
  expect(await other.page.getByRole("slider", { name: "Depth K" }).getAttribute("aria-valuenow")).toBe("7");
  expect(new URL(other.page.url()).hash).toBe("");
  await expect.poll(() => other.button("Generate").getAttribute("aria-disabled"), soon).toBe("false");
  await other.page.waitForTimeout(500);
  expect(other.sent.filter(({ type }) => type === "start")).toEqual([]);

  await other.button("Generate").click();
  const started = () => other.sent.find(({ type }) => type === "start");
  await expect.poll(started, soon).toBeDefined();
  expect(started()).toMatchObject({
    prompt: PROMPT,
    k: 7,
    temperature: 0.5,
  });
});
