import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { EngineStatistics as Found } from "../../protocol/generated";
import { EngineStatistics } from "./EngineStatistics";

const VLLM: Found = {
  source: "vLLM, metrics.speculative_decoding",
  scope: "one answer",
  answers: 1,
  drafts: 4,
  draft_tokens: 12,
  accepted_tokens: 6,
  generated: 10,
  acceptance_rate: 0.5,
  mean_acceptance_length: 2.5,
  tokens_per_pass: 2.5,
  per_position_acceptance_rate: [0.75, 0.5, 0.25],
  conditional_acceptance_rate: [0.75, 0.667, 0.5],
  reported_rate: 0.6,
  reported_length: 2.5,
  cannot_show: [],
  disagreements: ["It reports a acceptance rate of 0.600; its counts give 0.500."],
};
const GAUGES: Found = {
  ...VLLM,
  source: "SGLang, /metrics",
  drafts: null,
  draft_tokens: null,
  accepted_tokens: null,
  generated: null,
  acceptance_rate: null,
  mean_acceptance_length: null,
  tokens_per_pass: null,
  per_position_acceptance_rate: null,
  conditional_acceptance_rate: null,
  cannot_show: ["the acceptance by position"],
  disagreements: [],
};

const asked: unknown[] = [];
let answer: () => Response;

beforeEach(() => {
  asked.length = 0;
  vi.stubGlobal("fetch", async (path: string, { body }: RequestInit) => {
    asked.push([path, JSON.parse(`${body}`)]);
    return answer();
  });
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function read(text: string): void {
  render(<EngineStatistics />);
  fireEvent.change(screen.getByLabelText("Statistics of another engine"), { target: { value: text } });
  fireEvent.click(screen.getByText("Read"));
}

const rows = (source: HTMLElement) =>
  [...source.querySelectorAll(".statistics-figures tbody tr")].map((row) =>
    [...row.children].map((cell) => cell.textContent),
  );

it("shows counts and computed rates, by position too, and where the source contradicts itself", async () => {
  answer = () => Response.json({ statistics: [VLLM] });
  read('{"metrics": {}}');
  const source = await screen.findByLabelText("vLLM, metrics.speculative_decoding (one answer)");

  expect(asked).toEqual([["/api/statistics", { text: '{"metrics": {}}' }]]);
  expect(rows(source).slice(0, 5)).toEqual([
    ["Drafts", "4", "counted by the engine"],
    ["Drafted tokens", "12", "counted by the engine"],
    ["Accepted tokens", "6", "counted by the engine"],
    ["Generated tokens", "10", "counted by the engine"],
    ["Acceptance rate", "50 %", "computed from its counts"],
  ]);
  expect(source.querySelectorAll(".db-position-chart > li")).toHaveLength(3);
  expect(within(source).getByText(/its counts give 0\.500/)).toBeTruthy();
});

it("marks what is only reported, and states what the source cannot show", async () => {
  answer = () => Response.json({ statistics: [GAUGES] });
  read("sglang:spec_accept_length 2.5");
  const source = await screen.findByLabelText("SGLang, /metrics (one answer)");

  expect(rows(source)).toContainEqual(["Acceptance rate", "60 %", "as it reports it"]);
  expect(rows(source)).toContainEqual(["Drafts", "–", "not in this source"]);
  expect(within(source).getByText("It cannot show: the acceptance by position.")).toBeTruthy();
  expect(source.querySelector(".db-position-chart")).toBeNull();
});

it("states in the server's words what cannot be read, and keeps the last figures", async () => {
  answer = () => Response.json({ statistics: [VLLM] });
  read("{}");
  await screen.findByLabelText(/^vLLM/);
  answer = () =>
    Response.json({ message: "The text holds no statistics.", hint: "Start it." }, { status: 400 });
  fireEvent.click(screen.getByText("Read"));
  expect((await screen.findByText("The text holds no statistics.")).parentElement?.textContent).toContain(
    "Start it.",
  );
  expect(screen.getByLabelText(/^vLLM/)).toBeTruthy();
});
