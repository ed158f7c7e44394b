// For each test file: a server, a browser, and a report when a test fails.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll } from "vitest";
import { type Server, serve } from "./server";
import { Tab } from "./tab";

const RESULTS = join(import.meta.dirname, "../../test-results");
export const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];
/** Time limit of an action or a locator. It is long because the machine is busy with a model. */
const ACTION_DEADLINE_MS = 45_000;
const LOG_LINES = 40;

export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

/** CHROMIUM names another browser than that of the system. */
export const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });

export class Site {
  private readonly tabs: Tab[] = [];
  private browser: Browser | null = null;
  private current: Server | null = null;
  private flags: readonly string[] = [];

  constructor(private readonly findFlags: () => Promise<readonly string[]>) {}

  get server(): Server {
    if (!this.current) throw new Error("No server runs.");
    return this.current;
  }

  async begin(): Promise<void> {
    const browser = launch();
    this.flags = await this.findFlags();
    this.current = await serve(this.flags);
    this.browser = await browser;
  }

  /** Starts a server on the port of the one that ended. */
  async serveAgain(): Promise<void> {
    this.current = await serve(this.flags, this.server.port);
  }

  /** A tab with the page, in a browser without stored values. */
  async open(options: BrowserContextOptions = {}, prepare?: (page: Page) => Promise<unknown>): Promise<Tab> {
    if (!this.browser) throw new Error("No browser runs.");
    const context = await this.browser.newContext({ viewport: DESKTOP, colorScheme: "dark", ...options });
    context.setDefaultTimeout(ACTION_DEADLINE_MS);
    const tab = new Tab(await context.newPage());
    this.tabs.push(tab);
    await prepare?.(tab.page);
    await tab.page.bringToFront();
    await tab.goTo(this.server.url);
    return tab;
  }

  async report(name: string): Promise<void> {
    await mkdir(RESULTS, { recursive: true });
    const file = name.replace(/\W+/g, "-");
    for (const [at, { page }] of this.tabs.entries()) {
      await page.screenshot({ path: join(RESULTS, `${file}-${at}.png`) }).catch(() => undefined);
    }
    const log = this.current?.log().trimEnd().split("\n").slice(-LOG_LINES).join("\n");
    console.error(`The server wrote:\n${log}\nScreenshots of "${name}" are in test-results.`);
  }

  async closeTabs(): Promise<void> {
    for (const { page } of this.tabs.splice(0)) await page.context().close();
  }

  async end(): Promise<void> {
    await this.browser?.close();
    await this.current?.stop();
  }
}

/** A server with these flags and a browser, for all tests of a file. */
export function siteWith(flags: readonly string[] | (() => Promise<readonly string[]>)): Site {
  const site = new Site(typeof flags === "function" ? flags : async () => flags);
  beforeAll(() => site.begin());
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") await site.report(task.name);
    await site.closeTabs();
  });
  afterAll(() => site.end());
  return site;
}
