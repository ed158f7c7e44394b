import { readFileSync } from "node:fs";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { parseRecording } from "../../run/recording";
import { emptyRun, reduceAll } from "../../run/reducer";
import { FlavoursScene } from "./FlavoursScene";

const TEXT = readFileSync("public/recording.jsonl", "utf8");
const RUN = reduceAll(emptyRun, parseRecording(TEXT)?.events ?? []);
afterEach(cleanup);

const press = (name: string, key: string, times = 1) => {
  for (let press = 0; press < times; press += 1)
    fireEvent.keyDown(screen.getByRole("slider", { name }), { key });
};
const lookup = () => screen.getByRole("region", { name: "prompt lookup" });
const model = () => screen.getByRole("region", { name: "draft model" });
const statuses = (part: HTMLElement) =>
  within(part)
    .queryAllByRole("listitem")
    .map((one) => one.getAttribute("data-status"));

it("compares what was measured with what is computed on the same text", () => {
  render(<FlavoursScene run={RUN} />);
  expect(screen.getByRole("status").textContent).toMatch(
    /the draft model gave 3\.55 tokens a round, measured\. Prompt lookup would give 1\.\d\d, computed/,
  );
});

it("shows the recorded draft of a round, and no lookup where nothing repeats", () => {
  render(<FlavoursScene run={RUN} />);
  press("Place", "Home");
  expect(statuses(model())).toEqual(["rejected", "discarded", "discarded"]);
  expect(statuses(lookup())).toEqual([]);
  expect(lookup().textContent).toMatch(/nothing is drafted/);
});

it("drafts by lookup where the text repeats itself, up to the chosen length", () => {
  render(<FlavoursScene run={RUN} />);
  press("Place", "End");
  for (let round = RUN.rounds.length; statuses(lookup()).length < 4 && round > 1; round -= 1) {
    press("Place", "ArrowLeft");
  }
  expect(statuses(lookup())).toHaveLength(4);
  expect(document.querySelectorAll("mark").length).toBeGreaterThan(0);
  press("Longest lookup", "Home");
  expect(statuses(lookup())).toHaveLength(1);
});

it("works without a recording", () => {
  render(<FlavoursScene run={null} />);
  expect(screen.getByRole("status").textContent).toBe("The recorded run is not loaded.");
});
