// The benchmark of the page. It prints what it measured beside the aims, then one line of JSON, and judges nothing: figures
// of a machine that does something else at the same time mean little.
import { setTimeout as sleep } from "node:timers/promises";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, it } from "vitest";
import { type Server, serve, TOY } from "../browser/server";
import { DESKTOP, FLAGS, PHONE } from "../browser/site";
import { heapMb, loadOf, watchFirstView } from "./meter";
import { atRate, countOf, cutAt, recorded, replaying } from "./replay";

const NODES = 10_000;
const PER_SECOND = 2000;
const TOKENS = 1024;
const PACED_SECONDS = 12;
const RUNS = 20;
const DEADLINE_MS = 300_000;
const PROMPT = "two sorted lists";

interface Row {
  readonly what: string;
  readonly value: string;
  readonly aim: string;
}

let browser: Browser;
let server: Server;
const rows: Row[] = [];
const figures: Record<string, number> = {};

function note(key: string, what: string, value: number, unit: string, digits: number, aim = ""): void {
  figures[key] = Number(value.toFixed(4));
  rows.push({ what, value: `${value.toFixed(digits)} ${unit}`.trim(), aim });
}

beforeAll(async () => {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  [browser, server] = await Promise.all([
    chromium.launch({ executablePath, args: FLAGS }),
    serve([...TOY, "-k", "4", "--temperature", "1"]),
  ]);
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
  const width = Math.max(...rows.map(({ what }) => what.length));
  for (const { what, value, aim } of rows) {
    console.log(`${what.padEnd(width)}  ${value.padStart(12)}${aim && `   aim: ${aim}`}`);
  }
  console.log(JSON.stringify(figures));
});

/** A page without stored values, on which nothing plays. */
async function opened(viewport = DESKTOP, prepare?: (page: Page) => Promise<unknown>): Promise<Page> {
  const context = await browser.newContext({ viewport, colorScheme: "light" });
  const page = await context.newPage();
  await page.addInitScript(() => {
    localStorage.setItem("speculatoviz.visited", "true");
    localStorage.setItem("speculatoviz.toured", "true");
  });
  await prepare?.(page);
  await page.goto(server.url);
  await page.locator(".run-button[aria-disabled=false]").waitFor({ timeout: DEADLINE_MS });
  return page;
}

async function generate(page: Page): Promise<void> {
  await page.getByRole("textbox", { name: "Prompt" }).fill(PROMPT);
  await page.getByRole("button", { name: "Generate" }).click();
}

const ended = (page: Page) =>
  page.getByRole("status").filter({ hasText: /^Run / }).waitFor({ state: "attached", timeout: DEADLINE_MS });

const start = (changes: object) => ({
  prompt: PROMPT,
  ignore_eos: true,
  temperature: 1,
  seed: 1,
  ...changes,
});

it.each([
  ["desktop", DESKTOP, true],
  ["phone", PHONE, true],
  ["desktop, second visit", DESKTOP, false],
])("first view: %s", async (name, viewport, first) => {
  const context = await browser.newContext({ viewport, colorScheme: "light" });
  const page = await context.newPage();
  if (!first) await page.addInitScript(() => localStorage.setItem("speculatoviz.visited", "true"));
  const result = await watchFirstView(page);
  await page.goto(server.url);
  await page.waitForLoadState("networkidle");
  await sleep(1500);
  const view = await result();
  note(`bytes, ${name}`, `first view, ${name}: compressed`, view.bytes / 1000, "kB", 0, "350 kB or less");
  note(`shift, ${name}`, `first view, ${name}: layout shift`, view.shift, "", 3, "below 0.05");
  for (const { path, bytes } of view.files.slice(0, 8))
    console.log(`  ${(bytes / 1000).toFixed(1)} kB ${path}`);
  for (const moved of view.moved) console.log(`  moved ${moved}`);
  await context.close();
});

it("a live run of many nodes", async () => {
  const whole = await recorded(
    browser,
    server.url,
    start({ k: 4, nodes: 14, max_tokens: 4096, policy: "fixed" }),
  );
  const events = atRate(cutAt(whole, NODES), PER_SECOND);
  const nominal = events.length / PER_SECOND;
  const page = await opened(DESKTOP, (shown) => replaying(shown, events));
  const load = await loadOf(browser, page, async () => {
    await generate(page);
    await ended(page);
  });
  const what = `${countOf(events, "draft_token")} nodes at ${PER_SECOND} events/s`;
  note("stream fps", `${what}: frames`, load.fps, "fps", 1, "55 fps or more");
  note("stream updates", `${what}: updates of the page`, load.updates, "a second", 1);
  note("stream frame95", `${what}: 95 % of frames within`, load.frame95Ms, "ms", 0);
  note("stream longest", `${what}: longest frame`, load.longestFrameMs, "ms", 0);
  note(
    "stream factor",
    `${what}: duration / that of the events`,
    load.seconds / nominal,
    "",
    2,
    "1.0, keeps up",
  );
  note("stream thread", `${what}: page's thread`, 100 * load.pageThread, "% of a core", 0);
  note("stream script", `${what}: script`, 100 * load.script, "% of a core", 0);
  note("stream layout", `${what}: style and layout`, 100 * load.layout, "% of a core", 0);
  note("stream processes", `${what}: all of Chromium`, 100 * load.allProcesses, "% of a core", 0);
  note("stream heap", `${what}: heap after`, await heapMb(page), "MB", 1);
  await page.context().close();
});

it("a paced replay of a long text", async () => {
  const events = await recorded(browser, server.url, start({ k: 4, max_tokens: TOKENS, policy: "fixed" }));
  const page = await opened(DESKTOP, (shown) => replaying(shown, atRate(events, 20_000)));
  await generate(page);
  await ended(page);
  await page.getByLabel("Playback speed").selectOption("paced");
  const scrubber = page.getByRole("slider", { name: "Round shown" });
  await scrubber.focus();
  await scrubber.press("End");
  // Far enough from the end that it is not reached while it is measured.
  for (let back = 0; back < 6; back += 1) await scrubber.press("PageDown");
  await page
    .getByRole("button", { name: "Play", exact: true })
    .or(page.getByRole("button", { name: "Pause" }))
    .waitFor();
  const play = page.getByRole("button", { name: "Play", exact: true });
  if (await play.isVisible()) await play.click();
  const load = await loadOf(browser, page, () => sleep(PACED_SECONDS * 1000));
  const what = `paced at ${TOKENS} tokens`;
  note("paced fps", `${what}: frames`, load.fps, "fps", 1, "50 fps or more");
  note("paced updates", `${what}: updates of the page`, load.updates, "a second", 1);
  note("paced thread", `${what}: page's thread`, 100 * load.pageThread, "% of a core", 0, "below 25 %");
  note("paced script", `${what}: script`, 100 * load.script, "% of a core", 0);
  note("paced layout", `${what}: style and layout`, 100 * load.layout, "% of a core", 0);
  note("paced processes", `${what}: all of Chromium`, 100 * load.allProcesses, "% of a core", 0);
  await page.context().close();
});

it("many runs one after the other", async () => {
  const events = await recorded(browser, server.url, start({ k: 4, max_tokens: 512, policy: "fixed" }));
  const page = await opened(DESKTOP, (shown) => replaying(shown, atRate(events, 20_000)));
  const heaps: number[] = [];
  for (let run = 1; run <= RUNS; run += 1) {
    await generate(page);
    await page.waitForFunction((count) => {
      const { bench } = window as unknown as { bench: { runs: number; sentAll: boolean } };
      return bench.runs === count && bench.sentAll;
    }, run);
    await ended(page);
    heaps.push(await heapMb(page));
  }
  const [second = 0, last = 0] = [heaps[1], heaps.at(-1)];
  note("heap second", "heap after 2 runs of 512 tokens", second, "MB", 1);
  note("heap last", `heap after ${RUNS} runs`, last, "MB", 1, "as after 2");
  note("heap growth", "growth for each run", (1000 * (last - second)) / (RUNS - 2), "kB", 0, "0: flat");
  await page.context().close();
});
