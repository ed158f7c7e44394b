import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { REMOTE } from "../../testing/runs";
import { RemoteFacts, Warning } from "./RemoteFacts";

afterEach(cleanup);

const rows = () =>
  [...document.querySelectorAll("dl > div")].map((row) => [...row.children].map((part) => part.textContent));

describe("facts of a remote target", () => {
  it("lists its mode, its address and the findings", () => {
    render(<RemoteFacts remote={REMOTE} />);
    expect(rows()).toEqual([
      ["Mode", "verifier: our verifier applies the rule, one round trip per round"],
      ["Address", REMOTE.url],
      ["Round trip", "42 ms, measured"],
      ["Calls per round", "1"],
      ["protocol version", "3"],
      ["context", "2048 tokens"],
    ]);
  });

  it("has no heading without findings", () => {
    render(<RemoteFacts remote={{ ...REMOTE, findings: [] }} />);
    expect(screen.getAllByRole("heading").map((heading) => heading.textContent)).toEqual(["Remote target"]);
  });

  it("warns in words, not by colour alone", () => {
    const { container } = render(<Warning words="Five calls a minute are too few." />);
    expect(container.textContent).toBe("Warning. Five calls a minute are too few.");
  });
});
