// Messages of the live run on the page, kept until the next animation frame.
import type { Failure, ServerMessage } from "../protocol/generated";
import type { Playback } from "../run/playback";

/** No run has this id: after a run is closed, no later message belongs to it. */
const CLOSED = "";

export class Inbox {
  private messages: ServerMessage[] = [];
  private readonly pastRuns = new Set<string>();
  /** Null until the first message of the run names it. */
  private runId: string | null = null;

  /** Empties the inbox for a new run. */
  open(): void {
    this.messages = [];
    this.runId = null;
  }

  /** Keeps a message of this run and returns true; returns false for a message of another run. */
  add(message: ServerMessage): boolean {
    if (!this.belongs(message)) return false;
    this.messages.push(message);
    return true;
  }

  private belongs(message: ServerMessage): boolean {
    if (this.runId !== null) return message.run === this.runId;
    if (message.run !== null && this.pastRuns.has(message.run)) return false;
    if (message.run === null) return message.type === "error" || message.type === "queued";
    this.runId = message.run;
    this.pastRuns.add(message.run);
    return true;
  }

  hasStarted(): boolean {
    return this.messages.some((message) => message.type === "started");
  }

  /** Returns the messages that came since the last call. */
  take(): ServerMessage[] {
    const messages = this.messages;
    this.messages = [];
    return messages;
  }

  /** Ends the run because the connection was lost, and returns the error. `play` has all messages taken so far. */
  closeLost(play: Playback | null): Failure {
    const failure = connectionLost(this.runId, play);
    this.messages.push(failure);
    this.runId = CLOSED;
    return failure;
  }
}

function connectionLost(run: string | null, play: Playback | null): Failure {
  const round = play?.full.rounds.at(-1)?.index ?? null;
  return {
    type: "error",
    run,
    seq: -1,
    t_ms: play?.events.at(-1)?.t_ms ?? 0,
    code: "connection_lost",
    message:
      round === null
        ? "The connection was lost before the first round."
        : `The connection was lost in round ${round + 1}; the run ended there.`,
    hint: "The page reconnects by itself. Then generate again.",
    round,
  };
}
