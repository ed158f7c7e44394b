import { readFileSync } from "node:fs";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { parseRecording } from "../../run/recording";
import { emptyRun, reduceAll } from "../../run/reducer";
import { WaitingScene } from "./WaitingScene";

const TEXT = readFileSync("public/recording.jsonl", "utf8");
const RUN = reduceAll(emptyRun, parseRecording(TEXT)?.events ?? []);
afterEach(cleanup);

const wait = () => screen.getByRole("status").textContent;
const press = (name: string, key: string) => fireEvent.keyDown(screen.getByRole("slider", { name }), { key });

it("adds round trip and prefill to the wait for the first token", () => {
  render(<WaitingScene run={null} />);
  expect(wait()).toBe(
    "First token after 860 ms: 60 ms round trip + 800 ms prefill. Then a token every 50 ms. Computed.",
  );
  press("Cached part", "End");
  press("Round trip", "Home");
  expect(wait()).toMatch(/^First token after 0 ms: 0 ms round trip \+ 0 ms prefill/);
  expect(screen.queryByText(/recorded run/)).toBeNull();
});

it("shows what the recorded run measured, and takes its speeds", () => {
  render(<WaitingScene run={RUN} />);
  expect(
    screen.getByText(/1\.12 GB of weights.*11\.1 tokens per second.*12\.4 GB.*38 tokens took 403 ms/),
  ).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "Set to the recorded run" }));
  expect(screen.getByRole("slider", { name: "Prompt" }).getAttribute("aria-valuenow")).toBe("38");
  expect(wait()).toMatch(/^First token after 404 ms/);
});
