// The store of the place Traffic: it follows the requests to the API while the place is shown.
import type { RefusedRequests, TrafficNews, TrafficRun } from "../protocol/generated";
import type { ConnectionStatus, Socket } from "../protocol/socket";
import { afterNews } from "../run/traffic";
import type { Environment } from "./environment";

export interface TrafficState {
  readonly connection: ConnectionStatus;
  /** Null until the server has sent its list. */
  readonly runs: readonly TrafficRun[] | null;
  /** Groups of requests that were refused, the one that grew last first. */
  readonly refused: readonly RefusedRequests[];
  /** Whether the beginnings of prompts are asked for. */
  readonly prompts: boolean;
}

export class TrafficStore {
  private state: TrafficState = { connection: "connecting", runs: null, refused: [], prompts: false };
  private readonly listeners = new Set<() => void>();
  private socket: Socket | null = null;

  constructor(private readonly environment: Pick<Environment, "openSocket">) {}

  readonly get = (): TrafficState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Follows until the returned function is called. A connection that was lost is made again. */
  follow(): () => void {
    const socket = this.environment.openSocket({
      onStatus: (connection) => {
        this.set({ connection });
        if (connection === "connected") this.ask();
      },
      onMessage: () => undefined,
      onTraffic: (news) => this.take(news),
    });
    this.socket = socket;
    return () => {
      socket.close();
      if (this.socket !== socket) return;
      this.socket = null;
      this.set({ connection: "connecting", runs: null, refused: [] });
    };
  }

  showPrompts(prompts: boolean): void {
    this.set({ prompts });
    this.ask();
  }

  private ask(): void {
    this.socket?.send({ type: "follow", prompts: this.state.prompts });
  }

  private take(news: TrafficNews): void {
    this.set({
      runs: afterNews(this.state.runs ?? [], news),
      refused: news.refused?.toReversed() ?? this.state.refused,
    });
  }

  private set(changes: Partial<TrafficState>): void {
    this.state = { ...this.state, ...changes };
    for (const listener of this.listeners) listener();
  }
}
