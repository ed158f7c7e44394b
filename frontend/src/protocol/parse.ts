// JSON text to a server message. Unknown types are ignored, so that a newer server can say more than this page knows.
import type { ServerMessage } from "./generated";

const TYPES: ReadonlySet<string> = new Set<ServerMessage["type"]>([
  "queued",
  "started",
  "updated",
  "draft_token",
  "verify_result",
  "metrics",
  "done",
  "error",
]);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A message of a known type with its envelope, or null. */
export function parseMessage(text: string): ServerMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(value) || typeof value.type !== "string" || !TYPES.has(value.type)) return null;
  if (typeof value.seq !== "number" || typeof value.t_ms !== "number") return null;
  return value as unknown as ServerMessage;
}
