// Trace files: a header line, then one server message per line.
import type { ServerMessage } from "../protocol/generated";
import { parseMessage } from "../protocol/parse";

export interface RecordingHeader {
  readonly created: string;
  readonly machine: string;
  readonly speculatoviz: string;
}

export interface Recording {
  readonly header: RecordingHeader;
  readonly events: readonly ServerMessage[];
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

function parseHeader(line: string): RecordingHeader | null {
  try {
    const value = JSON.parse(line) as Record<string, unknown> | null;
    if (value?.type !== "trace") return null;
    return {
      created: textOf(value.created),
      machine: textOf(value.machine),
      speculatoviz: textOf(value.speculatoviz),
    };
  } catch {
    return null;
  }
}

/** Null unless the text is a trace that contains a run. */
export function parseRecording(text: string): Recording | null {
  const [first = "", ...rest] = text.split("\n");
  const header = parseHeader(first);
  if (!header) return null;
  const events = rest.map(parseMessage).filter((event) => event !== null);
  return events.some((event) => event.type === "started") ? { header, events } : null;
}
