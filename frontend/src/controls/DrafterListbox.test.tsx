import { fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { DrafterListbox } from "./DrafterListbox";

const drafter = (name: string, title: string, reason: string | null = null) => ({
  name,
  title,
  help: `What ${title} does.`,
  paper: "A. 2024",
  trees: true,
  available: reason === null,
  reason,
});
const REASON = "There is no trained head. Train one with `train eagle --out a.safetensors`.";
const DRAFTERS = [
  drafter("eagle", "EAGLE head", REASON),
  drafter("ngram", "Prompt lookup"),
  drafter("suffix", "Suffix automaton"),
];
const onChoose = vi.fn();

const show = (drafters = DRAFTERS, chosen: string | null = "ngram") =>
  render(
    <>
      <label htmlFor="d">Drafter</label>
      <DrafterListbox
        id="d"
        drafters={drafters}
        chosen={chosen}
        describedBy={undefined}
        onChoose={onChoose}
      />
    </>,
  );
const control = () => screen.getByRole("combobox", { name: "Drafter" });
/** The name of an entry is its whole text, which begins with its title. */
const option = (title: string) =>
  within(screen.getByRole("listbox", { name: "Drafters" })).getByRole("option", {
    name: new RegExp(`^${title} `),
  });
const open = () => fireEvent.keyDown(control(), { key: "Enter" });

beforeEach(() => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  );
});
afterEach(() => {
  document.body.replaceChildren();
  vi.unstubAllGlobals();
  onChoose.mockClear();
});

it("lists the available drafters first, and marks the others", () => {
  show();
  expect(control().textContent).toBe("Prompt lookup");
  open();
  expect(screen.getAllByRole("option").map((entry) => entry.getAttribute("aria-disabled"))).toEqual([
    null,
    null,
    "true",
  ]);
  expect(
    within(screen.getByRole("group", { name: "Not available here" })).getAllByRole("option"),
  ).toHaveLength(1);
});

it("describes each drafter, with the reason if it is not available", () => {
  show();
  open();
  const list = within(screen.getByRole("listbox"));
  expect(list.getByRole("option", { name: "Prompt lookup What Prompt lookup does." })).toBeTruthy();
  const why = /^EAGLE head What EAGLE head does. There is no trained head. Train one with train eagle /;
  expect(list.getByRole("option", { name: why })).toBeTruthy();
  expect(within(option("EAGLE head")).getByText("train eagle --out a.safetensors").tagName).toBe("CODE");
});

it("lets the keyboard reach an unavailable drafter, and not choose it", async () => {
  show();
  open();
  fireEvent.keyDown(option("Prompt lookup"), { key: "End" });
  await waitFor(() => expect(document.activeElement).toBe(option("EAGLE head")));
  for (const key of ["Enter", " "]) fireEvent.keyDown(option("EAGLE head"), { key });
  fireEvent.pointerUp(option("EAGLE head"), { pointerType: "mouse" });
  fireEvent.click(option("EAGLE head"));
  expect(onChoose).not.toHaveBeenCalled();
  fireEvent.keyDown(option("Suffix automaton"), { key: "Enter" });
  expect(onChoose).toHaveBeenCalledExactlyOnceWith("suffix");
  expect(screen.queryByRole("listbox")).toBeNull();
});

it("does not choose an unavailable drafter by its first letter", () => {
  show();
  fireEvent.keyDown(control(), { key: "e" });
  expect(onChoose).not.toHaveBeenCalled();
});

it("cannot be opened without an available drafter", () => {
  show([drafter("eagle", "EAGLE head", "The models are not loaded.")], null);
  expect(control().hasAttribute("disabled")).toBe(true);
});
