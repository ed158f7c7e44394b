import { fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import type { Autopsy, CauseShare, RejectedToken } from "../protocol/generated";
import { Rejections } from "./RejectionPanel";

const EXAMPLE: RejectedToken = {
  run: "r",
  round: 6,
  node: 2,
  position: 2,
  before: "\nThe city of Paris is the capital of",
  drafted: " Spain",
  chosen: " France",
  draft_prob: 0.6,
  target_prob: 0.1,
  share: 1,
};
const CAUSE: CauseShare = {
  cause: "vocabulary",
  tokens: 3,
  rejections: 3.2,
  expected: 2.9,
  share: 0.29,
  low: 0.2,
  high: 0.41,
  remedy: "A draft with the whole vocabulary.",
  gain: 0.31,
  examples: [EXAMPLE],
};
const FOUND: Autopsy = {
  rounds: 20,
  tested: 40,
  rejected: 11,
  expected: 10.04,
  level: 0.9,
  tokens_per_round: 2.1,
  classes: [],
  causes: [CAUSE],
  shorter: { depth: 3, tps: 21.04, drafted: 8, measured_tps: 17 },
  missing: ["The target is remote."],
};

afterEach(() => document.body.replaceChildren());

it("adds up, names the causes with their shares, and what is missing", () => {
  render(<Rejections found={FOUND} onShow={vi.fn()} />);
  const panel = screen.getByRole("region", { name: "Why tokens were rejected" });
  expect(panel.textContent).toContain("11 of 40 tested tokens were rejected; 10.0 were to be expected.");
  expect(panel.textContent).toContain("Outside the vocabulary29 %20 to 41 %");
  expect(panel.textContent).toContain("A draft with the whole vocabulary. At most +0.31 tokens a round.");
  expect(panel.textContent).toContain("The target is remote.");
});

it("leads to the round of an example", () => {
  const show = vi.fn();
  render(<Rejections found={FOUND} onShow={show} />);
  const name =
    /^Round 7 … Paris is the capital of ?, drafted ·Spain ?, the text has ·France ?\. Show this round\.$/;
  fireEvent.click(screen.getByRole("button", { name, hidden: true }));
  expect(screen.getByText("… Paris is the capital of")).toBeTruthy();
  expect(show).toHaveBeenCalledExactlyOnceWith(EXAMPLE);
});

it("shows a negative share as such, without a bar", () => {
  const saving = { ...CAUSE, cause: "greedy", share: -0.12, low: -0.2, high: -0.01, gain: -0.2 } as const;
  render(<Rejections found={{ ...FOUND, causes: [saving] }} onShow={vi.fn()} />);
  const row = screen.getByText("Chosen, not drawn").closest("summary");
  if (!row) throw new Error("expected a row");
  expect(row.textContent).toContain("−12 %−20 to −1 %");
  expect(row.querySelector<HTMLElement>(".rj-bar span")?.style.width).toBe("0%");
});

it("shows a dash and no interval where there is none", () => {
  const unknown = { ...CAUSE, share: null, low: null, high: null, gain: null, examples: [] };
  render(<Rejections found={{ ...FOUND, causes: [unknown], shorter: null, missing: [] }} onShow={vi.fn()} />);
  const list = within(screen.getByRole("list"));
  expect(list.getByText("–")).toBeTruthy();
  expect(screen.queryByRole("button", { name: /Show this round/ })).toBeNull();
});
