// Errors have a message, the prompt is never lost, and the page recovers by itself.
import { expect, it } from "vitest";
import { siteWith } from "./site";
import { soon } from "./tab";

const site = siteWith(["--profile", "smol", "--threads", "1"]);

it("asks for a prompt if there is none", async () => {
  const tab = await site.open();
  await tab.maxTokens(64);
  await tab.generate("  \n ");
  await tab.notice("There is no prompt.").waitFor();
  expect(tab.sent).toEqual([]);
  await tab.button("Dismiss").click();
  await tab.notice("There is no prompt.").waitFor({ state: "detached" });
});

it("shows the server's refusal, keeps the prompt, and goes on", async () => {
  const tab = await site.open();
  await tab.maxTokens(64);
  const long = "many words ".repeat(4500).trim();
  await tab.generate(long);
  await tab.notice(/^The prompt has \d+ tokens and the context holds \d+\./).waitFor();
  expect(await tab.prompt.inputValue()).toBe(long);
  await tab.page.getByText("This run failed: The prompt has").waitFor();

  const done = await tab.run("Say hello.");
  expect(await tab.shownText()).toBe(done.generated_text);
  expect(await tab.notice(/./).count()).toBe(0);
});

it("keeps the run where another part of the page cannot be loaded", async () => {
  const tab = await site.open();
  await tab.maxTokens(64);
  const done = await tab.run("Say hello.");
  await tab.page.route(/\/assets\/Learn-.*\.js$/, (route) => route.abort());
  const places = tab.page.getByRole("navigation", { name: "Places" });
  await places.getByRole("link", { name: "Learn" }).click();
  await tab.page.getByRole("alert").getByText("This part of the page could not be loaded.").waitFor();
  await places.getByRole("link", { name: "Live" }).click();
  await expect.poll(() => tab.shownText(), soon).toBe(done.generated_text);
});

it("survives the server's end during a run, and works again when the server is back", async () => {
  const tab = await site.open();
  await tab.maxTokens(1024);
  await tab.generate("Count from 1 to 300, separated by commas.");
  await tab.until("metrics", 3);
  await tab.page.evaluate(() => Object.assign(window, { sameDocument: true }));
  await site.server.kill();

  const words = tab.notice(/^The connection was lost in round \d+; the run ended there\.$/);
  await words.waitFor();
  await expect.poll(() => tab.button("Connection:").textContent(), soon).toMatch(/reconnecting|offline/);
  await tab.announced(/^Run failed: The connection was lost/).waitFor({ state: "attached" });
  const sent = () => tab.ofType("verify_result").map(({ text }) => text);
  await expect.poll(async () => (await tab.shownText()) === sent().join(""), soon).toBe(true);
  const cutOff = await tab.shownText();
  expect(cutOff).not.toBe("");

  await tab.prompt.fill("Typed without a server.");
  await tab.prompt.press("Control+Enter");
  await tab.notice("The server cannot be reached.").waitFor();
  await tab.page.getByText("Waiting for the server. Your prompt is kept.").waitFor();
  expect(tab.sent.filter(({ type }) => type === "start")).toHaveLength(1);

  await site.serveAgain();
  await expect.poll(() => tab.button("Connection:").textContent(), soon).toContain("connected");
  await expect.poll(() => tab.button("Generate").getAttribute("aria-disabled"), soon).toBe("false");
  expect(await tab.prompt.inputValue()).toBe("Typed without a server.");
  expect(await tab.shownText()).toBe(cutOff);
  await tab.maxTokens(64);
  await tab.button("Generate").click();
  await tab.until("done");
  await tab.announced(/^Run /).waitFor({ state: "attached" });
  expect(await tab.shownText()).toBe(tab.last("done").generated_text);
  expect(tab.last("started").prompt).toBe("Typed without a server.");
  expect(await words.count()).toBe(0);
  expect(await tab.page.evaluate(() => "sameDocument" in window)).toBe(true);
});
