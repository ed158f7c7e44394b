// The page without its server: a browser, and a tab that notes every request.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser, BrowserContextOptions } from "playwright-core";
import { afterAll, afterEach, beforeAll } from "vitest";
import { DESKTOP, launch } from "./site";
import { Tab } from "./tab";

const PROGRAM = join(import.meta.dirname, "../../../.venv/bin/speculatoviz");
export const RECORDING = join(import.meta.dirname, "../../public/recording.jsonl");

/** Runs `speculatoviz` to its end. */
export const program = (flags: readonly string[]) => promisify(execFile)(PROGRAM, flags);

export interface Offline {
  /** A folder that is removed after the tests. */
  readonly folder: () => string;
  /** A tab with the page at an address, and the addresses of all that it asked for. */
  open(address: string, options?: BrowserContextOptions): Promise<{ tab: Tab; asked: string[] }>;
}

/** A browser and a folder for the tests of a file. */
export function offline(): Offline {
  let browser: Browser;
  let folder = "";
  beforeAll(async () => {
    browser = await launch();
    folder = await mkdtemp(join(tmpdir(), "page-"));
  });
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
  });
  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    folder: () => folder,
    open: async (address, options = {}) => {
      const context = await browser.newContext({ viewport: DESKTOP, colorScheme: "dark", ...options });
      const tab = new Tab(await context.newPage());
      const asked: string[] = [];
      tab.page.on("request", (request) => asked.push(request.url()));
      await tab.page.goto(address);
      return { tab, asked };
    },
  };
}
