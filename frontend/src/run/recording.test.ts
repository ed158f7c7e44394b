import { describe, expect, it } from "vitest";
import { done, roundOf, started } from "../testing/messages";
import { openTrace, parseRecording, traceText } from "./recording";

const header =
  '{"type":"trace","version":1,"created":"2026-01-02T03:04:05Z","speculatoviz":"0.1.0","machine":"two cores"}';
const lines = (...parts: unknown[]) =>
  parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join("\n");

describe("parseRecording", () => {
  it("reads header and messages, and passes over types that it does not know", () => {
    const recording = parseRecording(lines(header, started(), '{"type":"later"}', done(), ""));
    expect(recording?.header.machine).toBe("two cores");
    expect(recording?.events.map((event) => event.type)).toEqual(["started", "done"]);
    expect(recording?.warning).toBeNull();
  });

  it("refuses text that is not a trace, or contains no run", () => {
    expect(parseRecording("<!doctype html>")).toBeNull();
    expect(parseRecording(lines(started(), done()))).toBeNull();
    expect(parseRecording(header)).toBeNull();
  });
});

describe("openTrace", () => {
  it("refuses a newer version in words, whatever follows", () => {
    const newer = header.replace('"version":1', '"version":3');
    for (const rest of [lines(started(), done()), "other lines"]) {
      const { recording, problem } = openTrace(`${newer}\n${rest}`);
      expect(recording).toBeNull();
      expect(problem?.[0]).toContain("version 3");
      expect(problem?.[0]).toContain("version 2");
      expect(problem?.[1]).toContain("newer SpeculatoViz");
    }
  });

  it("opens a trace that was cut off anywhere up to its last whole line, and says so", () => {
    const whole = lines(header, started(), done(), "");
    const begun = lines(header, started(), "").length;
    for (let length = begun; length < whole.length - 1; length += 7) {
      const { recording } = openTrace(whole.slice(0, length));
      expect(recording?.events.map((event) => event.type)).toEqual(["started"]);
      expect(recording?.warning).toBe(
        length === begun
          ? "The trace ends before its run does."
          : "Line 3 is incomplete and left out: the trace was cut off there.",
      );
    }
    expect(openTrace(whole.slice(0, -1)).recording?.warning).toBeNull();
  });

  it("names a damaged line", () => {
    const { recording } = openTrace(lines(header, started(), "{", done(), ""));
    expect(recording?.events).toHaveLength(2);
    expect(recording?.warning).toContain("Line 3 is not an event");
  });

  it("accepts a byte order mark and carriage returns", () => {
    const { recording } = openTrace(`\uFEFF${lines(header, started(), done(), "").replaceAll("\n", "\r\n")}`);
    expect(recording?.events).toHaveLength(2);
    expect(recording?.warning).toBeNull();
  });
});

it("traceText writes what is read again", () => {
  const events = [started({ prompt: "a\nb\u2028c" }), ...roundOf(0, ["a"], 1, "b"), done()];
  const head = { created: "2026-01-02T03:04:05Z", machine: "m", speculatoviz: "0.1.0" };
  expect(parseRecording(traceText(head, events))).toMatchObject({ header: head, events, warning: null });
});
