import { readFileSync } from "node:fs";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { parseRecording } from "../../run/recording";
import { emptyRun, reduceAll } from "../../run/reducer";
import { RoundScene } from "./RoundScene";

const TEXT = readFileSync("public/recording.jsonl", "utf8");
const RUN = reduceAll(emptyRun, parseRecording(TEXT)?.events ?? []);
afterEach(cleanup);

const words = () => screen.getByRole("status").textContent ?? "";
const tokens = () =>
  [...screen.getByRole("list", { name: "Tokens of the round" }).children].map((one) => [
    one.querySelector("span")?.textContent,
    one.getAttribute("data-status"),
  ]);
const next = () => fireEvent.click(screen.getByRole("button", { name: "Next step" }));
const press = (name: string, key: string) => fireEvent.keyDown(screen.getByRole("slider", { name }), { key });

it("leads through a real round, from the draft to what is kept", () => {
  render(<RoundScene run={RUN} />);
  expect(tokens()).toEqual([]);
  next();
  expect(words()).toMatch(/^The drafter proposes “.The”, q = 77 %, in \d+ ms\.$/);
  expect(tokens()).toEqual([["·The", "pending"]]);
  press("Step", "End");
  expect(words()).toMatch(/^The text keeps 3 tokens\. The round took \d+ ms\./);
  expect(tokens()).toEqual([
    ["·The", "accepted"],
    ["·function", "accepted"],
    ["·takes", "rejected"],
    ["·uses", "resampled"],
  ]);
  fireEvent.click(screen.getByRole("button", { name: "Back" }));
  expect(words()).toMatch(/draws “.uses” from the residual/);
});

it("shows the measured time of the round above the computed one of the target alone", () => {
  render(<RoundScene run={RUN} />);
  const time = screen.getByRole("img").getAttribute("aria-label") ?? "";
  const [round, draft, verify] = [...time.matchAll(/(\d+) ms/g)].map((found) => Number(found[1]));
  expect(time).toMatch(/^The round took \d+ ms, measured: draft \d+ ms, verify \d+ ms/);
  expect(Number(draft) + Number(verify)).toBeLessThan(Number(round));
  expect(time).toMatch(/3 tokens of the target alone: 271 ms, computed\.$/);
});

it("leads through any other round, from its beginning", () => {
  render(<RoundScene run={RUN} />);
  press("Step", "End");
  press("Round", "Home");
  expect(tokens()).toEqual([]);
  expect(screen.getByText("(the beginning of the answer)")).toBeTruthy();
  press("Step", "End");
  expect(tokens().map(([, status]) => status)).toEqual(["rejected", "discarded", "discarded", "resampled"]);
});

it("works without a recording", () => {
  render(<RoundScene run={null} />);
  expect(words()).toBe("The recorded run is not loaded.");
});
