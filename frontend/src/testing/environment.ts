// The browser and the server for tests of the store and of what is rendered from it.
import type { Environment } from "../app/environment";
import type { ClientMessage, Health, ServerMessage, SettingsInfo } from "../protocol/generated";
import type { SocketEvents } from "../protocol/socket";

/** An environment whose frames and timers run when the test calls `frame` and `debounce`. */
export class FakeEnvironment implements Environment {
  host: Environment["host"] = "server";
  events: SocketEvents | null = null;
  sent: ClientMessage[] = [];
  open = true;
  healthStatus: Health["status"] | null = "ready";
  /** The answer to a request for the settings. */
  offered: SettingsInfo | null = null;
  trace: string | null = null;
  healthCalls = 0;
  frames: ((nowMs: number) => void)[] = [];
  timers: { callback: () => void; delayMs: number }[] = [];
  nowMs = 0;

  openSocket(events: SocketEvents) {
    this.events = events;
    queueMicrotask(() => events.onStatus("connected"));
    return { send: (message: ClientMessage) => this.open && this.sent.push(message) > 0, close: () => {} };
  }
  /** Each answer takes longer than the one before, so that they overlap. */
  health = async () => {
    this.healthCalls += 1;
    for (let turns = 10 * this.healthCalls; turns > 0; turns -= 1) await null;
    return this.healthStatus === null ? null : ({ status: this.healthStatus } as Health);
  };
  settings = async () => this.offered;
  recording = async () => this.trace;
  nextFrame = (callback: (nowMs: number) => void) => void this.frames.push(callback);
  throttledFrame = this.nextFrame;
  /** Frames come as soon as a test asks for them; the waits are noted. */
  waitsMs: number[] = [];
  frameAfter = (callback: (nowMs: number) => void, waitMs: number) => {
    this.waitsMs.push(waitMs);
    this.nextFrame(callback);
  };
  later = (callback: () => void, delayMs: number) => void this.timers.push({ callback, delayMs });

  frame(count = 1) {
    for (let at = 0; at < count; at += 1) {
      this.nowMs += 16;
      for (const callback of this.frames.splice(0)) callback(this.nowMs);
    }
  }
  /** Runs the short timers; polling ones wait. */
  debounce() {
    const due = this.timers.filter((timer) => timer.delayMs < 500);
    this.timers = this.timers.filter((timer) => timer.delayMs >= 500);
    for (const timer of due) timer.callback();
  }
  receive(messages: readonly ServerMessage[]) {
    for (const message of messages) this.events?.onMessage(message);
    this.frame();
  }
}
