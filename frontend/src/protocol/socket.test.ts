import { describe, expect, it } from "vitest";
import { ATTEMPTS_UNTIL_OFFLINE, socketUrl, statusAfterFailure } from "./socket";

describe("socket", () => {
  it("follows the page's own scheme and host", () => {
    expect(socketUrl({ protocol: "http:", host: "127.0.0.1:8000" })).toBe("ws://127.0.0.1:8000/ws/tokens");
    expect(socketUrl({ protocol: "https:", host: "example.org" })).toBe("wss://example.org/ws/tokens");
  });

  it("is connecting or reconnecting at first, and offline after several failures", () => {
    expect(statusAfterFailure(false, 1)).toBe("connecting");
    expect(statusAfterFailure(true, 1)).toBe("reconnecting");
    expect(statusAfterFailure(true, ATTEMPTS_UNTIL_OFFLINE)).toBe("offline");
  });
});
