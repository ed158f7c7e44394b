// A server with a key: the page asks a browser for it, and then shows the address that was opened.
import { expect, it } from "vitest";
import { KEY, TOY } from "./server";
import { launch, siteWith } from "./site";

const site = siteWith([...TOY, "--api-key", KEY]);

it("asks for the key, once more if it is wrong, and keeps it for the page's socket", async () => {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    const key = page.getByLabel("Key");
    const open = page.getByRole("button", { name: "Open the page" });
    await page.goto(`${site.server.url}/runs?containing=a`);
    await key.fill("another");
    await open.click();
    await page.getByRole("alert").waitFor();
    await key.fill(KEY);
    await open.click();
    await page.getByRole("heading", { level: 1 }).first().waitFor();
    expect(new URL(page.url()).pathname).toBe("/runs");
    expect(await page.evaluate(() => document.cookie)).toBe(""); // scripts cannot read it
    const socket = await page.evaluate(
      () =>
        new Promise<string>((resolve) => {
          const opened = new WebSocket(`ws://${location.host}/ws/tokens`);
          opened.onopen = () => resolve("open");
          opened.onerror = () => resolve("refused");
        }),
    );
    expect(socket).toBe("open");
  } finally {
    await browser.close();
  }
});
