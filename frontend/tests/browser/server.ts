// The real server as a child process on a free port. It always ends with the tests.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Health } from "../../src/protocol/generated";

const ROOT = join(import.meta.dirname, "../../..");
const PROGRAM = join(ROOT, ".venv/bin/speculatoviz");
const PAGE = join(ROOT, "src/speculatoviz/server/page/index.html");
const READY_DEADLINE_MS = 120_000;
const EXIT_DEADLINE_MS = 15_000;

/** A small exact model that needs no download. Its tokens are lower-case letters, spaces and line breaks. */
export const TOY = ["--target", "toy:0", "--draft", "toy:0~7", "--policy", "fixed"];
/**
 * A real model with prompt lookup, or itself as the draft model. It has one thread: the browser needs the other core,
 * and threads that wait for each other on a busy machine are slower than one. Its runtime is named, so that none is timed.
 */
export const SMOL = [
  ...[
    "--profile",
    "smol",
    "--draft",
    "smollm2-135m-instruct",
    "--drafter",
    "ngram",
    "--policy",
    "fixed",
    "--threads",
    "1",
    "--runtime",
    "llamacpp",
  ],
];

/** The key of a server that is started with `--api-key`. */
export const KEY = "sv-of-the-tests";

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface Server {
  readonly url: string;
  readonly port: number;
  /** Its output so far. */
  log(): string;
  /** Ends it without a shutdown, as when a machine fails. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

interface Running {
  readonly child: ChildProcess;
  log(): string;
  end(signal: NodeJS.Signals): Promise<void>;
}

function launch(args: readonly string[]): Running {
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const parts: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => parts.push(text));
  }
  child.once("error", (error) => parts.push(`${error.message}\n`));
  const end = async (signal: NodeJS.Signals) => {
    if (isAlive(child)) {
      const gone = once(child, "exit");
      child.kill(signal);
      const inTime = await Promise.race([gone, sleep(EXIT_DEADLINE_MS, null, { ref: false })]);
      if (!inTime) child.kill("SIGKILL");
    }
    running.delete(child);
  };
  return { child, log: () => parts.join(""), end };
}

export interface Verifier {
  readonly port: number;
  stop(): Promise<void>;
}

/** A target in a process of its own. Its output contains the address when it listens. */
export async function verifier(flags: readonly string[]): Promise<Verifier> {
  const { child, log, end } = launch(["verifier", ...flags, "--port", "0"]);
  const deadline = Date.now() + READY_DEADLINE_MS;
  while (Date.now() < deadline && child.pid !== undefined && isAlive(child)) {
    const address = /at verifier:ws:\/\/127\.0\.0\.1:(\d+)/.exec(log())?.[1];
    if (address !== undefined) return { port: Number(address), stop: () => end("SIGTERM") };
    await sleep(50);
  }
  await end("SIGKILL");
  throw new Error(`The verifier did not become ready. It wrote:\n${log()}`);
}

export async function serve(flags: readonly string[], port?: number): Promise<Server> {
  if (!existsSync(PAGE)) throw new Error("The page has not been built. Run `npm run build` first.");
  const chosen = port ?? (await freePort());
  const usual = ["--store", "none", "--concurrency", "1"]; // later flags replace them
  const { child, log, end } = launch(["serve", ...usual, ...flags, "--port", String(chosen)]);
  const server: Server = {
    url: `http://127.0.0.1:${chosen}`,
    port: chosen,
    log,
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
  };
  await ready(server, child).catch(async (error: unknown) => {
    await server.kill();
    throw error;
  });
  return server;
}

const isAlive = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

async function ready(server: Server, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + READY_DEADLINE_MS;
  let last = "it did not answer";
  while (Date.now() < deadline && child.pid !== undefined && isAlive(child)) {
    const health = await fetchHealth(server.url);
    if (health?.status === "ready") return;
    if (health) last = `${health.status}: ${health.message ?? health.stage}`;
    if (health?.status === "failed") break;
    await sleep(100);
  }
  throw new Error(`The server did not become ready (${last}). It wrote:\n${server.log()}`);
}

async function fetchHealth(url: string): Promise<Health | null> {
  try {
    const headers = { Authorization: `Bearer ${KEY}` }; // a server without keys does not read it
    const answer = await fetch(`${url}/api/health`, { headers, signal: AbortSignal.timeout(5000) });
    return (await answer.json()) as Health;
  } catch {
    return null;
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("There is no free port.");
  return address.port;
}
