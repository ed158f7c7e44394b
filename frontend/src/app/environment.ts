// What the store needs of the browser and the server. Tests replace it.
import { fetchHealth, fetchSettings, fetchText } from "../protocol/api";
import type { Health, SettingsInfo } from "../protocol/generated";
import { openSocket, type Socket, type SocketEvents, socketUrl } from "../protocol/socket";
import { ROOT } from "./places";
import { setMotionReduced, type Timers, throttledFrames } from "./throttle";

/** What answers the page: a server with models, the files of a static site, or nothing but the page's own file. */
export type Host = "server" | "site" | "file";

export interface Environment {
  readonly host: Host;
  openSocket(events: SocketEvents): Socket;
  health(): Promise<Health | null>;
  settings(): Promise<SettingsInfo | null>;
  /** The text of the recording that the server provides; null without one. */
  recording(): Promise<string | null>;
  nextFrame(callback: (nowMs: number) => void): void;
  /** The next frame after a time in which nothing has to be drawn. */
  frameAfter(callback: (nowMs: number) => void, waitMs: number): void;
  /** Frames for a live run, which leave the processor to the models. */
  throttledFrame(callback: (nowMs: number) => void): void;
  later(callback: () => void, delayMs: number): void;
}

const FRAME_MS = 16;

const timers: Timers & Pick<Environment, "frameAfter"> = {
  now: () => performance.now(),
  nextFrame: (callback) => void requestAnimationFrame(callback),
  later: (callback, delayMs) => void setTimeout(callback, delayMs),
  frameAfter: (callback, waitMs) => {
    if (waitMs < 2 * FRAME_MS) requestAnimationFrame(callback);
    else setTimeout(() => requestAnimationFrame(callback), waitMs - FRAME_MS);
  },
};

export const browserEnvironment = (): Environment => ({
  ...timers,
  host: "server",
  openSocket: (events) => openSocket(socketUrl(location), events),
  health: fetchHealth,
  settings: fetchSettings,
  recording: () => fetchText(`${ROOT.path}recording.jsonl`),
  throttledFrame: throttledFrames(timers, setMotionReduced),
});

/** An environment without a server: recorded runs are shown, and none can start. */
export const recordedEnvironment = (
  host: Exclude<Host, "server">,
  recording: Environment["recording"],
): Environment => ({
  ...timers,
  host,
  openSocket: () => ({ send: () => false, close: () => undefined }),
  health: async () => null,
  settings: async () => null,
  recording,
  throttledFrame: timers.nextFrame,
});
