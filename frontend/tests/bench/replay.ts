// The events of a real run of the toy model, and a socket in the page that sends them again at a fixed rate.
import type { Browser, Page } from "playwright-core";
import type { ServerMessage, Start } from "../../src/protocol/generated";

/** What the page asks the bench for instead of the server. */
const EVENTS = "/bench-events.jsonl";

/** The events of one run, as the server sent them. */
export async function recorded(browser: Browser, url: string, start: Partial<Start>): Promise<string[]> {
  const page = await browser.newPage();
  try {
    await page.goto(`${url}/api/health`);
    return await page.evaluate(
      ([address, message]) =>
        new Promise<string[]>((resolve, reject) => {
          const lines: string[] = [];
          const socket = new WebSocket(address);
          socket.onopen = () => socket.send(message);
          socket.onerror = () => reject(new Error("The socket failed."));
          socket.onmessage = ({ data }) => {
            lines.push(data);
            const { type } = JSON.parse(data);
            if (type === "done") resolve(lines);
            if (type === "error") reject(new Error(data));
          };
        }),
      [`${url.replace("http", "ws")}/ws/tokens`, JSON.stringify({ type: "start", ...start })] as const,
    );
  } finally {
    await page.close();
  }
}

const parsed = (line: string): ServerMessage => JSON.parse(line);

/** The run up to the end of the round in which it has so many drafted tokens, then its last event. */
export function cutAt(lines: readonly string[], nodes: number): string[] {
  let seen = 0;
  const end = lines.findIndex((line) => {
    const { type } = parsed(line);
    if (type === "draft_token") seen += 1;
    return type === "metrics" && seen >= nodes;
  });
  if (end < 0) throw new Error(`The run has only ${seen} drafted tokens.`);
  return [...lines.slice(0, end + 1), ...lines.slice(-1)];
}

/** The same events at a fixed rate. */
export const atRate = (lines: readonly string[], perSecond: number): string[] =>
  lines.map((line, seq) => JSON.stringify({ ...parsed(line), t_ms: (1000 * seq) / perSecond }));

export const countOf = (lines: readonly string[], type: ServerMessage["type"]): number =>
  lines.filter((line) => parsed(line).type === type).length;

/** From now on, each run that the page starts gets these events by their times, from a socket in the page itself. */
export async function replaying(page: Page, lines: readonly string[]): Promise<void> {
  await page.route(`**${EVENTS}`, (route) => route.fulfill({ body: lines.join("\n") }));
  await page.addInitScript(installSocket, EVENTS);
}

/** Runs in the page, so it refers to nothing outside itself. Runs after the first have other ids. */
function installSocket(path: string): void {
  const events = fetch(path)
    .then((answer) => answer.text())
    .then((text) => text.split("\n"));
  const bench = { runs: 0, sentAll: false, startedMs: 0, lateMs: 0 };
  Object.assign(window, { bench, benchEvents: events });

  class ReplaySocket extends EventTarget {
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSING = 2;
    static readonly CLOSED = 3;
    readyState = 0;
    binaryType = "blob";
    bufferedAmount = 0;
    extensions = "";
    protocol = "";

    constructor(readonly url: string) {
      super();
      void events.then(() => {
        this.readyState = 1;
        this.dispatchEvent(new Event("open"));
      });
    }

    send(text: string): void {
      if (JSON.parse(text).type === "start") void events.then((lines) => this.replay(lines));
    }

    private replay(lines: readonly string[]): void {
      bench.runs += 1;
      bench.sentAll = false;
      bench.startedMs = performance.now();
      const own = `"run":"bench${bench.runs}"`;
      const times = lines.map((line) => Number(/"t_ms":([\d.]+)/.exec(line)?.[1] ?? 0));
      let next = 0;
      const timer = setInterval(() => {
        const nowMs = performance.now() - bench.startedMs;
        for (; next < lines.length && (times[next] ?? 0) <= nowMs; next += 1) {
          bench.lateMs = nowMs - (times[next] ?? 0);
          const data = (lines[next] ?? "").replace(/"run":"[^"]*"/, own);
          this.dispatchEvent(new MessageEvent("message", { data }));
        }
        if (next < lines.length) return;
        clearInterval(timer);
        bench.sentAll = true;
      }, 4);
    }

    close(): void {
      this.readyState = 3;
      this.dispatchEvent(new Event("close"));
    }
  }
  const Real = window.WebSocket;
  window.WebSocket = new Proxy(Real, {
    construct: (_target, [address]) => new ReplaySocket(String(address)),
    get: (target, name) => Reflect.get(target, name),
  });
}
