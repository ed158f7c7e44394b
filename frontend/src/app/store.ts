// The store: holds the state of the page, and is the only place that changes it.

import type { RunWarning, ServerMessage, Start } from "../protocol/generated";
import type { ConnectionStatus, Socket } from "../protocol/socket";
import { sameText } from "../run/again";
import type { Playback, PlaybackMode } from "../run/playback";
import * as playback from "../run/playback";
import { rebase } from "../run/rebase";
import { openTrace } from "../run/recording";
import { currentSettings } from "../run/selectors";
import { tokenKey } from "../run/summary";
import type { BaselineKind } from "../run/verdict";
import type { Environment } from "./environment";
import { type Choices, type NumberField, startMessage, updateMessage } from "./form";
import { Inbox } from "./inbox";
import { exactSeed } from "./seed";
import {
  type AppState,
  formOf,
  initialState,
  isBusy,
  isLive,
  isRunning,
  type Judged,
  type Stored,
} from "./state";
import { loadValue, saveValue } from "./storage";

const DAMAGED = ["The run in this file cannot be read.", "The file is damaged: export it again."] as const;
const LOADING_POLL_MS = 1000;
const READY_POLL_MS = 20_000;
const UPDATE_DEBOUNCE_MS = 150;
const UPDATABLE = ["k", "nodes", "temperature", "drafter"] as const;
type UpdateField = (typeof UPDATABLE)[number];
type Changes = Partial<Omit<Choices, "numbers">> & { readonly numbers?: Choices["numbers"] };

/** The fields of an update that a change can concern. */
function touchedBy({ drafter, onlyDrafter, numbers = {} }: Changes): UpdateField[] {
  const named = drafter !== undefined || onlyDrafter !== undefined;
  const touched: Record<UpdateField, boolean> = {
    k: numbers.k !== undefined || numbers.deepest !== undefined,
    // Not every drafter drafts trees, so the tree size can change with the drafter.
    nodes: numbers.nodes !== undefined || named,
    temperature: numbers.temperature !== undefined,
    drafter: named,
  };
  return UPDATABLE.filter((field) => touched[field]);
}

export class Store {
  private state: AppState;
  private readonly listeners = new Set<() => void>();
  private socket: Socket | null = null;
  private readonly inbox = new Inbox();
  private readonly touched = new Set<UpdateField>();
  private frameAt: number | null = null;
  private frameRequested = false;
  private updateTicket = 0;
  private pollTicket = 0;
  private noticeCount = 0;
  private opened = false;
  private beforeStored: Playback | null = null;

  constructor(private readonly environment: Environment) {
    this.state = initialState(environment.host, loadValue("mode"), loadValue("choices"));
  }

  readonly get = (): AppState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private set(changes: Partial<AppState>): void {
    this.state = { ...this.state, ...changes };
    for (const listener of this.listeners) listener();
  }

  // --- server -----------------------------------------------------------------------------------

  /** Opens the socket and asks for health and settings. Once; later calls do nothing, and so does a page without a server. */
  async connect(): Promise<void> {
    if (this.socket || this.environment.host !== "server") return;
    this.socket = this.environment.openSocket({
      onStatus: (connection) => this.onConnection(connection),
      onMessage: (message) => this.onMessage(message),
    });
    await this.poll();
  }

  /** Connects, and plays the recording on a first visit, or where no model is ready. Once; later calls do nothing. */
  async open(): Promise<void> {
    if (this.opened) return;
    this.opened = true;
    const firstVisit = loadValue("visited") === null;
    saveValue("visited", true);
    this.set({ recordingAwaited: firstVisit });
    const loading = firstVisit ? this.loadRecording() : null;
    const [health] = await Promise.all([this.environment.health(), loading, this.connect()]);
    const canRun = health?.status === "ready";
    if (!firstVisit && canRun) return;
    await this.loadRecording();
    if (this.state.play === null) await this.watchRecording();
    this.set({ recordingAwaited: false });
  }

  /** Needs a server of files only: no socket and no model. */
  async loadRecording(): Promise<void> {
    if (this.state.recording) return;
    const text = await this.environment.recording();
    if (text === null) {
      if (this.environment.host === "file") this.notify(...DAMAGED);
      return;
    }
    const { recording, problem } = openTrace(text);
    this.set({ recording });
    if (problem && text.startsWith("{")) this.notify(...problem); // a server without a recording answers with the page
  }

  private onConnection(connection: ConnectionStatus): void {
    const before = this.state.connection;
    this.set({ connection });
    if (connection === "connected") void this.poll();
    else if (before === "connected") {
      if (isBusy(this.state)) this.endLostRun();
      void this.poll();
    }
  }

  /** Reads the server's health, often until the models are ready; and its settings whenever they may have changed. */
  private async poll(): Promise<void> {
    this.pollTicket += 1;
    const ticket = this.pollTicket;
    const before = this.state.health;
    const health = await this.environment.health();
    if (ticket !== this.pollTicket) return;
    this.set({ health });
    if (health && (this.state.settings === null || health.status !== before?.status))
      await this.loadSettings();
    if (ticket !== this.pollTicket) return;
    const delayMs = health?.status === "ready" ? READY_POLL_MS : LOADING_POLL_MS;
    this.environment.later(() => void (ticket === this.pollTicket && this.poll()), delayMs);
  }

  private async loadSettings(): Promise<void> {
    const settings = await this.environment.settings();
    if (settings) this.set({ settings });
  }

  private onMessage(message: ServerMessage): void {
    if (message.type === "error") {
      // An error after the end answers a stop or a change that was sent before it.
      if (!isBusy(this.state)) return;
      this.notify(message.message, message.hint);
      if (message.code === "bad_request" && this.hasStarted()) return;
    }
    if (this.state.play?.source !== "live" || !this.inbox.add(message)) return;
    this.requestFrame();
    if (message.type === "done") void this.poll();
    const over = message.type === "done" || message.type === "error";
    if (this.state.judged && over) this.endPlain(this.state.judged);
  }

  /** After the start, a bad request is a refused change, and the run goes on. */
  private hasStarted(): boolean {
    return this.state.play?.full.started != null || this.inbox.hasStarted();
  }

  /** The server ends a run whose connection is lost; this ends it on the page. */
  private endLostRun(): void {
    if (this.state.judged !== null) {
      this.set({ ...this.state.judged, judged: null });
      this.notify(
        "The connection was lost during the plain run.",
        "Measure it again once the page is connected.",
      );
      return;
    }
    this.receiveAll();
    const { message, hint } = this.inbox.closeLost(this.state.play);
    this.notify(message, hint);
    this.requestFrame();
  }

  // --- runs -------------------------------------------------------------------------------------

  start(changes: Partial<Start> = {}): void {
    if (this.send(changes)) this.show(playback.openLive(this.state.mode));
  }

  /** Whether the server was asked for a run. */
  private send(changes: Partial<Start>): boolean {
    if (isBusy(this.state)) return false;
    const form = formOf(this.state);
    const message = startMessage(form, changes);
    if (!message.prompt?.trim()) {
      this.notify("There is no prompt.", "Write one, or choose an example.");
      return false;
    }
    if (!this.socket?.send(message)) {
      this.notify(
        "The server cannot be reached.",
        "Your prompt is kept. Generate again when the page is connected.",
      );
      return false;
    }
    this.inbox.open();
    this.touched.clear();
    this.set({ notices: [] });
    return true;
  }

  /**
   * Runs the prompt of the run on the page with the target alone, and judges that run by it. The plain run is drawn as the
   * other was, so that drawing slows down both; then the other returns to the page.
   */
  startPlain(): void {
    const { play, selected, dismissed } = this.state;
    const last = play?.full.started;
    if (!play || !last) return;
    const same = { ...sameText(last), seed: exactSeed(last.seed) };
    const alone = { prediction: null, policy: "fixed", k: 0, nodes: 0 } as const;
    if (!this.send({ ...same, ...alone, shadow: [] })) return;
    this.show(playback.openLive(this.state.mode));
    this.set({ judged: { play, selected, dismissed } });
  }

  /** After the last message of the plain run, the other run is back, with its new baseline. */
  private endPlain(judged: Judged): void {
    this.receiveAll();
    const plain = this.state.play?.full;
    if (plain?.phase !== "done" && plain?.phase !== "failed") return;
    const play = rebase(judged.play, plain);
    this.set({ ...judged, ...(play ? { play } : {}), hovered: null, judged: null });
    if (play || !plain.done || plain.done.finish_reason === "cancelled") return;
    if (plain.done.metrics.shared_rounds > 0) {
      this.notify(
        "Other runs used the models during the plain run, so it is no baseline.",
        "The baseline is as before. Measure again when no other run is going on.",
      );
      return;
    }
    this.notify(
      "The plain run is too short for a baseline.",
      "The baseline is as before. Measure a longer text.",
    );
  }

  stop(): void {
    this.socket?.send({ type: "cancel" });
  }

  /** Plays the recording, which is loaded when it is first asked for. */
  async watchRecording(): Promise<void> {
    await this.loadRecording();
    const { recording, mode } = this.state;
    if (!recording || isBusy(this.state)) return;
    this.show(playback.openRecording(recording.events, mode));
    this.requestFrame();
  }

  private show(play: Playback, stored: Stored | null = null): void {
    this.set({ play, stored, selected: null, hovered: null, dismissed: [] });
  }

  /** Shows a kept run or a file in place of the run on the page; false while a run is computed for the page. */
  showStored(stored: Stored, round: number | null = null, token: number | null = null): boolean {
    if (isBusy(this.state)) return false;
    if (this.state.stored === null) this.beforeStored = this.state.play;
    const play = playback.openRecording(stored.recording.events, this.state.mode);
    const rounds = round ?? play.roundEnds.length;
    this.show(playback.pause(playback.seekRound(play, rounds)), stored);
    if (round !== null && token !== null) this.select(tokenKey(play.full, round, token));
    return true;
  }

  /** Shows what was on the page before a kept run or a file. */
  closeStored(): void {
    if (this.state.stored === null) return;
    this.set({ play: this.beforeStored, stored: null, selected: null, hovered: null, dismissed: [] });
    this.beforeStored = null;
  }

  choose(changes: Changes): void {
    const { choices } = this.state;
    const numbers = { ...choices.numbers, ...changes.numbers };
    this.keepChoices({ ...choices, ...changes, numbers }, touchedBy(changes));
  }

  /** Leaves a number to the server, or to the policy, as if the user had never changed it. */
  leave(field: NumberField): void {
    const { choices } = this.state;
    const { [field]: given, ...numbers } = choices.numbers;
    if (given !== undefined)
      this.keepChoices({ ...choices, numbers }, touchedBy({ numbers: { [field]: given } }));
  }

  private keepChoices(next: Choices, touched: readonly UpdateField[]): void {
    saveValue("choices", next);
    this.set({ choices: next });
    for (const field of touched) this.touched.add(field);
    this.updateTicket += 1;
    const ticket = this.updateTicket;
    this.environment.later(() => ticket === this.updateTicket && this.sendUpdate(), UPDATE_DEBOUNCE_MS);
  }

  private sendUpdate(): void {
    const { play, judged } = this.state;
    const current = play && !judged && isRunning(this.state) ? currentSettings(play.full) : null;
    const message = current && updateMessage(formOf(this.state), current);
    if (message) {
      for (const field of UPDATABLE) {
        if (!this.touched.has(field)) delete message[field];
      }
      if (Object.keys(message).length > 1) this.socket?.send(message);
    }
    this.touched.clear();
  }

  // --- what is shown ----------------------------------------------------------------------------

  playback(change: (play: Playback) => Playback): void {
    const { play } = this.state;
    if (!play) return;
    this.set({ play: change(play) });
    this.requestFrame();
  }

  setMode(mode: PlaybackMode): void {
    saveValue("mode", mode);
    this.set({ mode });
    this.playback((play) => playback.setMode(play, mode));
  }

  setBaselineKind(baselineKind: BaselineKind): void {
    this.set({ baselineKind });
  }

  hover(key: string | null): void {
    if (key !== this.state.hovered) this.set({ hovered: key });
  }

  select(key: string | null): void {
    if (key !== this.state.selected) this.set({ selected: key });
  }

  notify(message: string, hint: string): void {
    this.noticeCount += 1;
    const others = this.state.notices.filter((notice) => notice.message !== message).slice(-2);
    this.set({ notices: [...others, { id: this.noticeCount, message, hint }] });
  }

  dismiss(id: number): void {
    this.set({ notices: this.state.notices.filter((notice) => notice.id !== id) });
  }

  dismissWarning(warning: RunWarning): void {
    this.set({ dismissed: [...this.state.dismissed, warning] });
  }

  private requestFrame(): void {
    if (this.frameRequested) return;
    this.frameRequested = true;
    const { state, environment } = this;
    const draw = (nowMs: number) => this.frame(nowMs);
    if (isLive(state)) environment.throttledFrame(draw);
    else environment.frameAfter(draw, state.play ? playback.untilNextMs(state.play) : 0);
  }

  /** With the messages since the last frame. */
  private received(play: Playback): Playback {
    return playback.receive(play, this.inbox.take());
  }

  private receiveAll(): void {
    if (this.state.play) this.set({ play: this.received(this.state.play) });
  }

  /** One animation frame: adds the new messages and advances the playback. */
  private frame(nowMs: number): void {
    this.frameRequested = false;
    const before = this.state.play;
    if (!before) return;
    const play = playback.tick(this.received(before), this.frameAt === null ? 0 : nowMs - this.frameAt);
    if (playback.looksSame(play, before)) this.state = { ...this.state, play };
    else this.set({ play });
    const busy = play.playing && (!playback.atEnd(play) || playback.isComplete(play));
    this.frameAt = busy ? nowMs : null;
    if (busy) this.requestFrame();
  }
}
