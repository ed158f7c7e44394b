// What the browser used: frames, time of the page's thread, time of all its processes, memory, bytes, layout shifts.
import type { Browser, CDPSession, Page } from "playwright-core";

export interface Load {
  /** Frames in which the page's thread was free to draw. */
  readonly fps: number;
  /** How often the page changed, in a second. */
  readonly updates: number;
  /** The duration that 95 % of the frames do not exceed. */
  readonly frame95Ms: number;
  readonly longestFrameMs: number;
  /** Shares of one core. */
  readonly pageThread: number;
  readonly script: number;
  readonly layout: number;
  readonly allProcesses: number;
  readonly seconds: number;
}

type Metrics = Readonly<Record<string, number>>;

async function metricsOf(session: CDPSession): Promise<Metrics> {
  const { metrics } = await session.send("Performance.getMetrics");
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

/** Seconds of processor time of all of the browser's processes. */
async function processorSeconds(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

/** Counts the frames that the page gets while `during` runs. */
export async function loadOf(browser: Browser, page: Page, during: () => Promise<unknown>): Promise<Load> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  await page.evaluate(() => {
    const frames: number[] = [];
    const bench = { benchFrames: frames, benchUpdates: 0 };
    Object.assign(window, bench, { benchUpdates: () => bench.benchUpdates });
    new MutationObserver(() => {
      bench.benchUpdates += 1;
    }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
    const count = (nowMs: number) => {
      frames.push(nowMs);
      if (frames.length > 0) requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
  });
  const before = { metrics: await metricsOf(session), processor: await processorSeconds(browser) };
  const startMs = performance.now();
  await during();
  const seconds = (performance.now() - startMs) / 1000;
  const after = { metrics: await metricsOf(session), processor: await processorSeconds(browser) };
  const times = await page.evaluate(() =>
    (window as unknown as { benchFrames: number[] }).benchFrames.splice(0),
  );
  const updates = await page.evaluate(() =>
    (window as unknown as { benchUpdates: () => number }).benchUpdates(),
  );
  await session.detach();
  const share = (name: string) => ((after.metrics[name] ?? 0) - (before.metrics[name] ?? 0)) / seconds;
  const durations = times.slice(1).map((time, at) => time - (times[at] ?? 0));
  const sorted = durations.toSorted((a, b) => a - b);
  return {
    fps: (durations.length / ((times.at(-1) ?? 0) - (times[0] ?? 0))) * 1000,
    updates: updates / seconds,
    frame95Ms: sorted[Math.floor(0.95 * sorted.length)] ?? Number.NaN,
    longestFrameMs: sorted.at(-1) ?? Number.NaN,
    pageThread: share("TaskDuration"),
    script: share("ScriptDuration"),
    layout: share("LayoutDuration") + share("RecalcStyleDuration"),
    allProcesses: (after.processor - before.processor) / seconds,
    seconds,
  };
}

/** Megabytes of objects in use, after a collection of what is not. */
export async function heapMb(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.enable");
  await session.send("HeapProfiler.collectGarbage");
  await session.send("Performance.enable");
  const { JSHeapUsedSize } = await metricsOf(session);
  await session.detach();
  return (JSHeapUsedSize ?? Number.NaN) / 1e6;
}

export interface FirstView {
  /** Bytes over the network, as they were sent. */
  readonly bytes: number;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly shift: number;
  /** What moved most, for a reader who wants to know why. */
  readonly moved: readonly string[];
}

/** Records from before the page is opened; the returned function gives what happened until then. */
export async function watchFirstView(page: Page): Promise<() => Promise<FirstView>> {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  const paths = new Map<string, string>();
  const sizes = new Map<string, number>();
  session.on("Network.responseReceived", ({ requestId, response }) => {
    paths.set(requestId, new URL(response.url).pathname);
  });
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    sizes.set(requestId, encodedDataLength);
  });
  await page.addInitScript(() => {
    interface Source {
      readonly node: Node | null;
      readonly previousRect: DOMRect;
      readonly currentRect: DOMRect;
    }
    const shifts: { value: number; moved: string[] }[] = [];
    Object.assign(window, { benchShifts: shifts });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { value, sources } = entry as unknown as { value: number; sources: Source[] };
        const names = sources.map(({ node, previousRect, currentRect }) => {
          const name = node instanceof Element ? node.className : node?.nodeName;
          return `${name} from ${Math.round(previousRect.y)} to ${Math.round(currentRect.y)} px`;
        });
        shifts.push({ value, moved: names });
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
  return async () => {
    const shifts = await page.evaluate(
      () => (window as unknown as { benchShifts: { value: number; moved: string[] }[] }).benchShifts,
    );
    const files = [...sizes].map(([id, bytes]) => ({ path: paths.get(id) ?? "?", bytes }));
    return {
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
      files: files.toSorted((a, b) => b.bytes - a.bytes),
      shift: shifts.reduce((sum, { value }) => sum + value, 0),
      moved: shifts
        .toSorted((a, b) => b.value - a.value)
        .slice(0, 6)
        .map(({ value, moved }) => `${value.toFixed(3)}: ${moved.join(" | ")}`),
    };
  };
}
