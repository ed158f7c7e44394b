// The WebSocket of the page. It reconnects by itself and reports its status.
import ReconnectingWebSocket from "reconnecting-websocket";
import type { ClientMessage, ServerMessage, TrafficNews } from "./generated";
import { parseFrame } from "./parse";

export type ConnectionStatus = "connecting" | "connected" | "reconnecting" | "offline";

export type Socket = Line<ClientMessage>;

export interface SocketEvents {
  onStatus(status: ConnectionStatus): void;
  onMessage(message: ServerMessage): void;
  /** News of the requests to the API, for a client that follows them. */
  onTraffic?(news: TrafficNews): void;
}

/** After so many failed attempts the status is offline. Attempts go on. */
export const ATTEMPTS_UNTIL_OFFLINE = 5;

export function socketUrl(place: { protocol: string; host: string }, path = "/ws/tokens"): string {
  return `${place.protocol === "https:" ? "wss:" : "ws:"}//${place.host}${path}`;
}

/** The status after a connection was lost or could not be made. */
export function statusAfterFailure(wasConnected: boolean, attempts: number): ConnectionStatus {
  if (attempts >= ATTEMPTS_UNTIL_OFFLINE) return "offline";
  return wasConnected ? "reconnecting" : "connecting";
}

/** A WebSocket that sends JSON and reads text. */
export interface Line<Sent> {
  /** Whether it was sent: only while the page is connected. */
  send(message: Sent): boolean;
  close(): void;
}

export function openLine<Sent>(
  url: string,
  onStatus: (status: ConnectionStatus) => void,
  onText: (text: string) => void,
): Line<Sent> {
  const socket = new ReconnectingWebSocket(url, [], {
    minReconnectionDelay: 400,
    maxReconnectionDelay: 5000,
    reconnectionDelayGrowFactor: 1.6,
    connectionTimeout: 4000,
    minUptime: 1000,
    // A start that waits for a connection would run long after the user asked for it.
    maxEnqueuedMessages: 0,
  });
  let wasConnected = false;
  let attempts = 0;
  socket.addEventListener("open", () => {
    wasConnected = true;
    attempts = 0;
    onStatus("connected");
  });
  socket.addEventListener("close", () => {
    attempts += 1;
    onStatus(statusAfterFailure(wasConnected, attempts));
  });
  socket.addEventListener("message", (frame) => {
    if (typeof frame.data === "string") onText(frame.data);
  });
  onStatus("connecting");
  return {
    send(message) {
      if (socket.readyState !== ReconnectingWebSocket.OPEN) return false;
      socket.send(JSON.stringify(message));
      return true;
    },
    close: () => socket.close(),
  };
}

export const openSocket = (url: string, events: SocketEvents): Socket =>
  openLine<ClientMessage>(
    url,
    (status) => events.onStatus(status),
    (text) => {
      const message = parseFrame(text);
      if (message?.type === "traffic") events.onTraffic?.(message);
      else if (message) events.onMessage(message);
    },
  );
