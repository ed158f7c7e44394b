// The page as a static site: served by Python's plain server of files, below a path.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { violations } from "./axe";
import { offline, RECORDING } from "./files";
import { PHONE } from "./site";
import { soon } from "./tab";

const ROOT = join(import.meta.dirname, "../../..");
const PYTHON = join(ROOT, ".venv/bin/python");
const BELOW = "some/deep folder/";

const page = offline();
let server: ChildProcess;
let url = "";

async function build(folder: string): Promise<void> {
  const run = promisify(execFile);
  await run("npx", ["vite", "build", "--mode", "site", "--outDir", folder], {
    cwd: join(ROOT, "frontend"),
    env: { ...process.env, NODE_ENV: "production" }, // the tests set another one
  });
  await run(PYTHON, [join(ROOT, "scripts/site_runs.py"), join(folder, "runs"), RECORDING]);
}

/** Serves a folder on a free port, which the server prints. */
function served(folder: string): Promise<string> {
  server = spawn(PYTHON, ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder]);
  return new Promise((resolve, reject) => {
    server.stdout?.on("data", (text) => {
      const port = / port (\d+)/.exec(`${text}`)?.[1];
      if (port) resolve(`http://127.0.0.1:${port}/${encodeURI(BELOW)}`);
    });
    server.once("exit", () => reject(new Error("The server of files did not start.")));
  });
}

beforeAll(async () => {
  await build(join(page.folder(), BELOW));
  url = await served(page.folder());
}, 300_000);
afterAll(() => void server?.kill());

const overflow = (tab: { evaluate<T>(work: () => T): Promise<T> }) =>
  tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

describe("a static site", () => {
  it("opens every place by its address and by its link, and no request fails", async () => {
    const { tab, asked } = await page.open(url, { viewport: PHONE, colorScheme: "light" });
    await tab.button("Skip").click();
    await tab.part("Prompt");
    await expect.poll(() => tab.prompt.inputValue(), soon).toMatch(/merges two sorted lists/);
    await tab.page.getByText("speculatoviz serve").waitFor();
    for (const name of ["Generate", "Measure plain now", /^Connection/]) {
      expect(await tab.button(name).count()).toBe(0);
    }
    expect(await violations(tab)).toEqual([]);
    expect(await overflow(tab.page)).toBeLessThanOrEqual(0);

    await tab.page.getByRole("link", { name: "Learn" }).click();
    await expect.poll(() => tab.page.url(), soon).toBe(`${url}learn/`);
    await tab.page.getByRole("link", { name: "All outcomes" }).first().click();
    await expect.poll(() => tab.page.getByRole("status").textContent(), soon).toMatch(/^Exact: /);
    await tab.page.reload();
    await expect.poll(() => tab.page.getByRole("status").textContent(), soon).toMatch(/^Exact: /);

    await tab.page.getByRole("link", { name: "Runs", exact: true }).click();
    await expect.poll(() => tab.page.url(), soon).toBe(`${url}runs/`);
    await tab.button(/^Actions for/).click();
    await tab.page.getByRole("menuitem", { name: "Save the trace" }).waitFor();
    expect(await tab.page.getByRole("menuitem").count()).toBe(1);
    await tab.page.keyboard.press("Escape");
    expect(await violations(tab)).toEqual([]);
    expect(await overflow(tab.page)).toBeLessThanOrEqual(0);
    await tab.page.locator(".run-table a").first().click();
    const banner = tab.region("Kept run");
    await banner.getByRole("button", { name: "Copy link" }).waitFor();
    expect(tab.page.url()).toContain(`${url}runs/?run=recording`);
    await tab.page.reload();
    await banner.getByRole("button", { name: "Copy link" }).waitFor();
    expect(tab.problems).toEqual([]);
    expect(asked.filter((address) => !address.startsWith(url))).toEqual([]);
  });
});
