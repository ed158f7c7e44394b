// The store of a race or a sweep: the lanes that the reader set up, the runs under way, and the last ones that ended.
import type { ServerMessage, Start } from "../protocol/generated";
import type { Socket } from "../protocol/socket";
import type { Run } from "../run/model";
import {
  endOf,
  type Lane,
  type LaneSettings,
  laneOf,
  type RaceClock,
  type Turn,
  tickClock,
  turnsOf,
} from "../run/race";
import { emptyRun, reduce } from "../run/reducer";
import type { Environment } from "./environment";
import { lanesFrom } from "./lanes";
import { loadValue, saveValue } from "./storage";

export type Repeats = 1 | 3;

/** What the lanes have in common. */
export type Common = Pick<
  Start,
  "prompt" | "max_tokens" | "temperature" | "seed" | "top_p" | "top_k" | "min_p" | "rule"
>;

/** A race while the server computes it. */
export interface Running {
  readonly lanes: readonly LaneSettings[];
  readonly turns: readonly Turn[];
  /** The number of finished turns. */
  readonly done: number;
  /** The finished runs, by lane. */
  readonly runs: readonly (readonly Run[])[];
  /** The run of the turn under way. */
  readonly run: Run;
}

export interface RaceState {
  /** Null until the reader changes them. */
  readonly chosen: readonly LaneSettings[] | null;
  readonly repeats: Repeats;
  readonly running: Running | null;
  /** The last race that ended; empty before the first. */
  readonly lanes: readonly Lane[];
  readonly clock: RaceClock;
  /** Why the last race did not end; null if it did. */
  readonly notice: { readonly message: string; readonly hint: string } | null;
}

/** What changes the progress on the page: it shows the number of tokens, which a round changes. */
const SHOWN: ReadonlySet<string> = new Set<ServerMessage["type"]>([
  "metrics",
  "queued",
  "loading",
  "started",
]);

const LOST = {
  message: "The connection was lost before all runs had ended.",
  hint: "Start it again once the page is connected.",
};

export class RaceStore {
  private state: RaceState;
  private readonly listeners = new Set<() => void>();
  private socket: Socket | null = null;
  private common: Common = {};
  /** The messages of the run under way, and of every finished one. */
  private messages: ServerMessage[] = [];
  private readonly recorded = new WeakMap<Run, readonly ServerMessage[]>();
  private frameAt: number | null = null;
  private frameRequested = false;
  private raceCount = 0;

  /** `animates`: whether a race that has ended plays by itself. `prefix`: of the names of its stored values. */
  constructor(
    private readonly environment: Pick<Environment, "openSocket" | "nextFrame">,
    private readonly animates: () => boolean,
    private readonly prefix = "",
  ) {
    this.state = {
      chosen: lanesFrom(loadValue(`${prefix}lanes`)),
      repeats: loadValue(`${prefix}repeats`) === 3 ? 3 : 1,
      running: null,
      lanes: [],
      clock: { ms: 0, playing: false },
      notice: null,
    };
  }

  readonly get = (): RaceState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private set(changes: Partial<RaceState>): void {
    this.state = { ...this.state, ...changes };
    for (const listener of this.listeners) listener();
  }

  choose(chosen: readonly LaneSettings[]): void {
    saveValue(`${this.prefix}lanes`, chosen);
    this.set({ chosen });
  }

  setRepeats(repeats: Repeats): void {
    saveValue(`${this.prefix}repeats`, repeats);
    this.set({ repeats });
  }

  // --- the race ---------------------------------------------------------------------------------

  /** Runs the lanes in turn. The server computes one run at a time, whoever else asks for one. */
  start(lanes: readonly LaneSettings[], common: Common): void {
    if (this.state.running) return;
    this.common = common;
    const turns = turnsOf(lanes.length, this.state.repeats);
    const runs = lanes.map(() => []);
    this.set({ running: { lanes, turns, done: 0, runs, run: emptyRun }, notice: null });
    this.raceCount += 1;
    const race = this.raceCount;
    const isOver = () => this.raceCount !== race || this.state.running === null;
    let wasConnected = false;
    this.socket = this.environment.openSocket({
      onStatus: (status) => {
        if (isOver()) return;
        if (status === "connected" && !wasConnected) {
          wasConnected = true;
          this.sendTurn();
        } else if (wasConnected ? status !== "connected" : status === "offline") this.end(LOST);
      },
      onMessage: (message) => {
        if (!isOver()) this.onMessage(message);
      },
    });
  }

  private sendTurn(): void {
    const { running } = this.state;
    const turn = running?.turns[running.done];
    const settings = turn && running.lanes[turn.lane];
    if (!settings) return;
    const { policy, drafter, k, target = null } = settings;
    this.messages = [];
    const own = { target, policy, drafter, k, nodes: 0, shadow: [], evidence: false };
    if (!this.socket?.send({ type: "start", ...this.common, ...own })) this.end(LOST);
  }

  private onMessage(message: ServerMessage): void {
    const { running } = this.state;
    if (!running) return;
    if (message.type === "error") {
      this.end(message);
      return;
    }
    this.messages.push(message);
    const run = reduce(running.run, message);
    if (message.type === "done") this.endTurn(running, run);
    else if (SHOWN.has(message.type)) this.set({ running: { ...running, run } });
    else this.state = { ...this.state, running: { ...running, run } };
  }

  private endTurn(running: Running, run: Run): void {
    if (run.done?.finish_reason === "error") {
      this.end({ message: "A run failed.", hint: "See the server's log, and start it again." });
      return;
    }
    this.recorded.set(run, this.messages);
    const turn = running.turns[running.done];
    const runs = running.runs.map((own, lane) => (lane === turn?.lane ? [...own, run] : own));
    const done = running.done + 1;
    this.set({ running: { ...running, done, runs, run: emptyRun } });
    if (done < running.turns.length) this.sendTurn();
    else this.finish(running.lanes, runs);
  }

  private finish(settings: readonly LaneSettings[], runs: readonly (readonly Run[])[]): void {
    const lanes = settings.map((own, at) => laneOf(own, runs[at] ?? []));
    this.end(null);
    this.set({ lanes, clock: { ms: endOf(lanes), playing: false } });
    if (this.animates()) this.play();
  }

  /** Ends without a result. The race before it stays on the page. */
  private end(notice: RaceState["notice"]): void {
    const { socket } = this;
    this.socket = null;
    this.set({ running: null, notice: notice && { message: notice.message, hint: notice.hint } });
    socket?.close();
  }

  /** What the server sent for a finished run of the last race, or of the one under way. */
  messagesOf(run: Run): readonly ServerMessage[] {
    return this.recorded.get(run) ?? [];
  }

  stop(): void {
    // The server ends the run of a connection that closes.
    if (this.state.running) this.end(null);
  }

  // --- the replay -------------------------------------------------------------------------------

  play(): void {
    const { lanes, clock } = this.state;
    if (lanes.length === 0 || clock.playing) return;
    this.set({ clock: { ms: clock.ms >= endOf(lanes) ? 0 : clock.ms, playing: true } });
    this.frameAt = null;
    if (!this.frameRequested) this.requestFrame();
  }

  private requestFrame(): void {
    this.frameRequested = true;
    this.environment.nextFrame((nowMs) => this.frame(nowMs));
  }

  pause(): void {
    this.set({ clock: { ...this.state.clock, playing: false } });
  }

  seek(ms: number): void {
    const bounded = Math.max(0, Math.min(endOf(this.state.lanes), ms));
    this.set({ clock: { ...this.state.clock, ms: bounded } });
  }

  private frame(nowMs: number): void {
    this.frameRequested = false;
    const { clock, lanes } = this.state;
    if (!clock.playing) return;
    this.set({ clock: tickClock(clock, this.frameAt === null ? 0 : nowMs - this.frameAt, endOf(lanes)) });
    this.frameAt = nowMs;
    this.requestFrame();
  }
}
