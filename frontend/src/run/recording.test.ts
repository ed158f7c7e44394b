import { describe, expect, it } from "vitest";
import { done, started } from "../testing/messages";
import { parseRecording } from "./recording";

const header =
  '{"type":"trace","version":1,"created":"2026-01-02T03:04:05Z","speculatoviz":"0.1.0","machine":"two cores"}';
const lines = (...parts: unknown[]) =>
  parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join("\n");

describe("parseRecording", () => {
  it("reads header and messages, and skips unknown lines", () => {
    const recording = parseRecording(lines(header, started(), '{"type":"later"}', "", done(), ""));
    expect(recording?.header.machine).toBe("two cores");
    expect(recording?.events.map((event) => event.type)).toEqual(["started", "done"]);
  });

  it("refuses text that is not a trace, or contains no run", () => {
    expect(parseRecording("<!doctype html>")).toBeNull();
    expect(parseRecording(lines(started(), done()))).toBeNull();
    expect(parseRecording(header)).toBeNull();
  });
});
