// A seed of the server that is too large for a number of the page.
import { expect, it } from "vitest";
import { TOY } from "./server";
import { siteWith } from "./site";

const SEED = "18446744073709551617";
const site = siteWith([...TOY, "-k", "4", "--temperature", "1", "--seed", SEED]);
const PROMPT = "two sorted lists";

it("is the server's own until the user picks one", async () => {
  const tab = await site.open();
  await tab.page.getByText("More sampling settings").click();
  const field = tab.page.getByLabel("Seed", { exact: true });
  expect(await field.inputValue()).toBe("");
  await tab.page.getByPlaceholder("the server’s").waitFor();

  const first = await tab.run(PROMPT);
  expect(tab.sent.at(-1)).toMatchObject({ type: "start", seed: null });
  expect(tab.last("started").seed).toBe(Number(SEED));
  await tab.button("Measure plain now").click();
  await tab.until("done", 2);
  await tab.button("Generate").waitFor();
  expect(tab.sent.at(-1)).toMatchObject({ k: 0, seed: null });
  expect(tab.last("started").seed).toBe(Number(SEED));
  expect((await tab.run(PROMPT)).generated_text).toBe(first.generated_text);

  await field.fill("5");
  const other = await tab.run(PROMPT);
  expect(tab.sent.at(-1)).toMatchObject({ seed: 5 });
  expect(tab.last("started").seed).toBe(5);
  expect(other.generated_text).not.toBe(first.generated_text);
  await field.fill("");
  expect((await tab.run(PROMPT)).generated_text).toBe(first.generated_text);
  expect(tab.problems).toEqual([]);
});
