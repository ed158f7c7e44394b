import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { REMOTE } from "../../testing/runs";
import { RemoteFacts, Warning } from "./RemoteFacts";

afterEach(cleanup);

const rows = () =>
  [...document.querySelectorAll("dl > div")].map((row) => [...row.children].map((part) => part.textContent));

describe("what is known of a target elsewhere", () => {
  it("is listed: how it verifies, where it is, and what was found out", () => {
    render(<RemoteFacts remote={REMOTE} />);
    expect(rows()).toEqual([
      ["Mode", "verifier: judged by our verifier, one round trip a round"],
      ["Address", REMOTE.url],
      ["Round trip", "42 ms, measured"],
      ["Calls a round", "1"],
      ["protocol version", "3"],
      ["context", "2048 tokens"],
    ]);
  });

  it("has no heading for findings where there are none", () => {
    render(<RemoteFacts remote={{ ...REMOTE, findings: [] }} />);
    expect(screen.getAllByRole("heading").map((heading) => heading.textContent)).toEqual([
      "The target is elsewhere",
    ]);
  });

  it("warns in words, not by colour alone", () => {
    const { container } = render(<Warning words="Five calls a minute are too few." />);
    expect(container.textContent).toBe("Warning. Five calls a minute are too few.");
  });
});
