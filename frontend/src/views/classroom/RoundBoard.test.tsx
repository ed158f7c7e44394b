import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import type { ClassroomStore } from "../../app/classroom";
import type { ClassroomView } from "../../protocol/generated";
import { REVEALED, VIEW } from "../../testing/classroom";
import { Board } from "./Board";
import { Entrance } from "./Entrance";
import { RoundBoard } from "./RoundBoard";

afterEach(cleanup);

const room = () => ({ bet: vi.fn(), join: vi.fn(), present: vi.fn() });
const show = (view: ClassroomView, own = room()) => {
  render(<RoundBoard room={own as unknown as ClassroomStore} view={view} />);
  return own;
};
const words = () => document.body.textContent?.replaceAll("\u00a0", " ") ?? "";

it("takes a bet on the first rejected token, or on none", () => {
  const { bet } = show(VIEW);
  const [two, , five, all] = screen.getAllByRole("button");
  if (!two || !five || !all) throw new Error("a token is missing");
  fireEvent.click(two);
  fireEvent.click(five);
  fireEvent.click(all);
  expect(bet.mock.calls).toEqual([[0], [2], [3]]);
  expect(words()).not.toMatch(/target \d/);
});

it("marks what a bet means for every token", () => {
  show({ ...VIEW, you: { name: "Ana", score: 0, rank: 1, bet: 1, gained: null } });
  const marks = screen.getAllByRole("button").map((one) => one.getAttribute("data-bet"));
  expect(marks).toEqual(["accepted", "rejected", "discarded", null]);
});

it("shows the presenter the same tokens, without a bet", () => {
  show({ ...VIEW, leads: true, you: null });
  for (const one of screen.getAllByRole("button"))
    expect(one.closest("fieldset")?.hasAttribute("disabled")).toBe(true);
  expect(words()).toContain("0 bets of 3 visitors.");
});

it("shows decisions, reason, points and the bets of the class once they are revealed", () => {
  show(REVEALED);
  expect(words()).toContain("2 accepted. The target rejects “ five” and writes “ four” instead.");
  expect(words()).toContain("At temperature 0 the target takes its most probable token.");
  expect(words()).toContain("You called 2 of 3 decisions right.");
  const statuses = [...document.querySelectorAll("li")].map((one) => one.getAttribute("data-status"));
  expect(statuses).toEqual(["accepted", "accepted", "rejected", "target"]);
  expect(document.querySelector("[data-right] dt")?.textContent).toContain("five");
  cleanup();
  show({ ...REVEALED, temperature: 0.7 });
  expect(words()).toContain("It had a chance of 20 %");
  cleanup();
  show({ ...REVEALED, accepted: 3, replacement: " six" });
  expect(words()).toContain("All 3 are accepted, and the target adds “ six”.");
});

it("shows names and tokens as text", () => {
  const { container } = render(<Board view={REVEALED} />);
  expect(container.querySelector("i")).toBeNull();
  expect(words()).toContain("<i>Ben</i>");
  cleanup();
  show(REVEALED);
  expect(document.querySelector("b")).toBeNull();
  expect(words()).toContain("<b>three</b>");
});

it("lets visitors in while a classroom is open, and presenters while nobody leads", () => {
  const own = room();
  const entrance = (view: ClassroomView) =>
    render(<Entrance room={own as unknown as ClassroomStore} view={{ ...view, you: null }} />);
  entrance(VIEW);
  fireEvent.change(screen.getByRole("textbox"), { target: { value: "Ana" } });
  fireEvent.click(screen.getByRole("button", { name: "Take part" }));
  expect(own.join).toHaveBeenCalledWith("Ana");
  expect(screen.queryByRole("button", { name: "Open the classroom" })).toBeNull();
  cleanup();
  entrance({ ...VIEW, phase: "closed", presenter_here: false });
  expect(screen.queryByRole("textbox")).toBeNull();
  fireEvent.click(screen.getByRole("button", { name: "Open the classroom" }));
  expect(own.present).toHaveBeenCalledOnce();
});
