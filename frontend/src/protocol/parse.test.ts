import { describe, expect, it } from "vitest";
import { parseMessage } from "./parse";

describe("parseMessage", () => {
  it("reads a message of a known type", () => {
    const message = { type: "queued", run: "r", seq: 1, t_ms: 2.5, place: 1 };
    expect(parseMessage(JSON.stringify(message))).toEqual(message);
  });

  it.each([
    ["no JSON", "{"],
    ["not an object", "[1]"],
    ["null", "null"],
    ["an unknown type", '{"type":"weather","seq":0,"t_ms":0}'],
    ["no envelope", '{"type":"done"}'],
  ])("ignores %s", (_, text) => {
    expect(parseMessage(text)).toBeNull();
  });
});
