// Trace files: a header line, then one server message per line. docs/trace.md specifies them.
import type { ServerMessage } from "../protocol/generated";
import { parseMessage } from "../protocol/parse";

const VERSION = 2; // version 1 is read as well

export interface RecordingHeader {
  readonly created: string;
  readonly machine: string;
  readonly speculatoviz: string;
}

/** `warning`: what is missing or cannot be read; null for a whole trace. */
export interface Recording {
  readonly header: RecordingHeader;
  readonly events: readonly ServerMessage[];
  readonly warning: string | null;
}

/** A trace, or why it cannot be opened and what to do. */
export type OpenedTrace =
  | { readonly recording: Recording; readonly problem: null }
  | { readonly recording: null; readonly problem: readonly [what: string, hint: string] };

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

const refused = (what: string, hint: string): OpenedTrace => ({ recording: null, problem: [what, hint] });

/** A trace is read up to its last whole line. Events of types that the page does not know are left out. */
export function openTrace(text: string): OpenedTrace {
  const [first = "", ...rest] = text.replace(/^\uFEFF/, "").split("\n");
  const header = parseObject(first);
  if (header?.type !== "trace") return refused("This is no trace.", "Open a file written with --trace.");
  const { version } = header;
  if (typeof version === "number" && version > VERSION) {
    return refused(
      `This is a trace of version ${version}; this page reads version ${VERSION} and earlier ones.`,
      "Open it with a newer SpeculatoViz.",
    );
  }
  const events = rest.map(parseMessage).filter((event) => event !== null);
  if (!events.some((event) => event.type === "started")) {
    return refused("This trace contains no run.", "Open a trace that holds at least the beginning of a run.");
  }
  const { created, machine, speculatoviz } = header;
  return {
    recording: {
      header: { created: textOf(created), machine: textOf(machine), speculatoviz: textOf(speculatoviz) },
      events,
      warning: warningOf(rest, events),
    },
    problem: null,
  };
}

function warningOf(lines: readonly string[], events: readonly ServerMessage[]): string | null {
  const broken = lines.findIndex(
    (line, at) => parseObject(line) === null && !(at === lines.length - 1 && line === ""),
  );
  if (broken === lines.length - 1) {
    return `Line ${broken + 2} is incomplete and left out: the trace was cut off there.`;
  }
  if (broken >= 0) return `Line ${broken + 2} is not an event of a run and left out: the file is damaged.`;
  const ended = events.some((event) => event.type === "done" || event.type === "error");
  return ended ? null : "The trace ends before its run does.";
}

/** The text of a trace with these events. */
export function traceText(header: RecordingHeader, events: readonly ServerMessage[]): string {
  const lines = [{ type: "trace", version: VERSION, ...header }, ...events];
  return `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`;
}

/** Null unless the text is a trace that contains a run. */
export const parseRecording = (text: string): Recording | null => openTrace(text).recording;
