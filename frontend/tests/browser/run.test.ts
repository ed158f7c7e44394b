// Runs of a real model: the page shows exactly what the server sent.
import { describe, expect, it } from "vitest";
import { fixed, milliseconds, percent } from "../../src/words/format";
import { SMOL } from "./server";
import { PHONE, siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith(SMOL);
const CODE = "Write a Python function that merges two sorted lists";
/** Its answer is short, but long enough for a baseline. */
const SHORT = "Name five colours.";
const LONG = "Count from 1 to 300, separated by commas.";

async function openWith(changes: { k?: number; temperature?: number; maxTokens?: number }): Promise<Tab> {
  const tab = await site.open();
  if (changes.k !== undefined) await tab.depth(changes.k);
  if (changes.temperature !== undefined) await tab.temperature(changes.temperature);
  await tab.maxTokens(changes.maxTokens ?? 64);
  return tab;
}

/** The facts of both models, opened by keyboard. */
async function seesModels(tab: Tab): Promise<void> {
  await tab.page.getByRole("button", { name: /drafts for/ }).press("Enter");
  const facts = tab.page.getByRole("dialog", { name: "Models" });
  for (const role of ["Draft", "Target"]) await facts.getByRole("columnheader", { name: role }).waitFor();
  const row = (name: string) =>
    facts.getByRole("row").filter({ has: tab.page.getByRole("rowheader", { name }) });
  expect(await row("Computes on").getByRole("cell").allTextContents()).toEqual([
    expect.stringMatching(/^(CPU|GPU)/),
    expect.stringMatching(/^(CPU|GPU)/),
  ]);
  expect(await row("Runtime").getByRole("cell").allTextContents()).toEqual(["llama.cpp", "llama.cpp"]);
  await tab.page.keyboard.press("Escape");
  await facts.waitFor({ state: "detached" });
}

describe("the first visit", () => {
  it("plays the recorded run, marked as a recording, until a run starts", async () => {
    const tab = await site.open();
    await tab.page.getByText("Recording of a real run").waitFor();
    await tab.button("Run it live").waitFor();
    await tab.tree.getByRole("treeitem").first().waitFor();
    expect(tab.sent).toEqual([]);
    await tab.maxTokens(64);
    await tab.run(CODE);
    expect(await tab.page.getByText("Recording of a real run").count()).toBe(0);
    expect(tab.problems).toEqual([]);
  });
});

describe("the first minute", () => {
  it("has four captions over the first round of the recording, once", async () => {
    const tab = await site.open();
    const introduction = tab.region("Introduction");
    await introduction.getByText("1 of 4").waitFor();
    await tab.tree.locator('[data-status="pending"]').first().waitFor();
    for (const number of [2, 3, 4]) {
      await introduction.getByRole("button", { name: "Next" }).click();
      await introduction.getByText(`${number} of 4`).waitFor();
    }
    await introduction.getByRole("button", { name: "Next" }).click();
    await introduction.waitFor({ state: "detached" });
    await tab.button("Pause").waitFor();
    await tab.page.reload();
    await tab.button("Generate").waitFor();
    expect(await introduction.count()).toBe(0);
  });
});

describe("a run", () => {
  it("shows tokens, text and figures as they were sent, and announces its end", async () => {
    const tab = await openWith({ k: 4, temperature: 1 });
    await tab.drafter("Draft model");
    const done = await tab.run(CODE);

    expect(tab.sent).toHaveLength(1);
    expect(tab.sent[0]).toMatchObject({ type: "start", prompt: CODE, k: 4, temperature: 1, max_tokens: 64 });
    expect(done.total_tokens).toBeGreaterThan(20);
    await tab
      .announced(new RegExp(`${done.total_tokens} tokens in ${done.total_rounds} rounds`))
      .waitFor({ state: "attached" });
    expect(await tab.tree.getByRole("treeitem").count()).toBeGreaterThan(10);
    await seesText(tab);
    await seesStatuses(tab);
    await seesFigures(tab);
    await seesCharts(tab);
    await copiesText(tab);
    await seesModels(tab);
  });

  it("stays on the page while a plain run of its prompt judges it", async () => {
    const tab = await openWith({ temperature: 0 });
    await tab.drafter("Draft model");
    const done = await tab.run(SHORT);
    await tab.button("Measure plain now").click();
    await tab.until("done", 2);
    const plain = tab.last("done");
    expect(tab.sent.at(-1)).toMatchObject({ prompt: SHORT, k: 0 });
    expect(plain.metrics).toMatchObject({ acceptance_rate: null, mean_acceptance_length: null });

    const speedup = tab.region("Speedup");
    await speedup.getByText(`full plain run of this prompt, ${plain.total_tokens} tokens`).waitFor();
    const times = (done.metrics.effective_tps ?? 0) / (plain.metrics.overall_tps ?? 0);
    if (await claimsSpeedup(tab, times)) {
      const [tokens, passes] = /([\d.]+) tokens a round ÷ ([\d.]+) plain passes/
        .exec((await speedup.textContent()) ?? "")
        ?.slice(1)
        .map(Number) ?? [0, 0];
      expect(tokens).toBeCloseTo(done.metrics.tokens_per_round ?? 0, 2);
      expect((tokens ?? 0) / (passes ?? 1)).toBeCloseTo(times, 1);
    }
    expect(await tab.shownText()).toBe(done.generated_text);
    expect(await numbers(tab)).toMatchObject({
      "Accept. length τ": fixed(done.metrics.mean_acceptance_length),
    });

    const next = await tab.run(SHORT);
    expect(await speedup.textContent()).toContain(`full plain run, ${plain.total_tokens} tokens`);
    expect(next.metrics.baseline_tps).toBe(tab.last("started").baseline?.tps);
  });
});

/**
 * The speedup is on the page; or none is, and the reason, where something else used the processor in one of the two runs.
 * The machine decides which.
 */
async function claimsSpeedup(tab: Tab, times: number): Promise<boolean> {
  const words = () => tab.region("Speedup").textContent();
  const claimed = `${fixed(times)}×`;
  await expect
    .poll(words, soon)
    .toSatisfy(
      (text: string) =>
        text.startsWith(claimed) || /^No verdict( yet)?not comparable: .*cannot be compared/.test(text),
    );
  return ((await words()) ?? "").startsWith(claimed);
}

async function seesText(tab: Tab): Promise<void> {
  expect(await tab.shownText()).toBe(tab.last("done").generated_text);
}

/** Every token of the text has the colour of its status. */
async function seesStatuses(tab: Tab): Promise<void> {
  const shown = await tab.text.getByRole("option").evaluateAll((options) =>
    options.map((option) => ({
      key: option.getAttribute("data-key") ?? "",
      status: option.getAttribute("data-status") ?? "",
      colour: getComputedStyle(option).color,
    })),
  );
  const emitted = tab
    .ofType("verify_result")
    .filter(({ status }) => status !== "rejected" && status !== "discarded")
    .map(({ round, node, status }) => ({ key: `${round}:${node ?? "+"}`, status }));
  expect(shown.map(({ key, status }) => ({ key, status }))).toEqual(emitted);
  const colours = new Map(shown.map(({ status, colour }) => [status, colour]));
  expect(colours.size).toBeGreaterThan(1);
  expect(new Set(colours.values()).size).toBe(colours.size);
}

async function numbers(tab: Tab): Promise<Record<string, string>> {
  const pairs = await tab.region("Measurements").evaluate((region) =>
    [...region.querySelectorAll("dl > div")].map((row) => {
      return [row.querySelector("dt")?.textContent ?? "", row.querySelector("dd")?.textContent ?? ""];
    }),
  );
  return Object.fromEntries(pairs);
}

async function seesFigures(tab: Tab): Promise<void> {
  const values = tab.last("done").metrics;
  const { drafted, accepted, bonus, resampled, tokens } = values;
  const speedup = await tab.region("Speedup").textContent();
  expect(values.speedup).toBeCloseTo((values.effective_tps ?? 0) / (values.baseline_tps ?? 0), 9);
  await claimsSpeedup(tab, values.speedup ?? 0);
  expect(speedup).toContain(
    `${fixed(values.effective_tps, 1)} tok/s against ${fixed(values.baseline_tps, 1)} plain, measured (`,
  );
  const gauge = Math.round(100 * (values.acceptance_rate ?? Number.NaN));
  await tab.page.getByRole("img", { name: `Acceptance rate ${gauge} %`, exact: true }).waitFor();
  const cache = tab.ofType("metrics")[0]?.prompt_cache; // of the first round alone
  expect(cache?.prompt_tokens).toBe(tab.last("started").prompt_tokens);
  expect(await numbers(tab)).toEqual({
    "Accept. length τ": fixed(values.mean_acceptance_length),
    "Tokens / round": fixed(values.tokens_per_round),
    "First token": milliseconds(values.ttft_ms),
    "Prompt cache": `${cache?.hit_tokens} / ${cache?.prompt_tokens}`,
  });
  const efficiency = await tab.region("Token efficiency").textContent();
  expect(efficiency).toContain(`${drafted} drafted`);
  expect(efficiency).toContain(`${tokens} emitted`);
  const parts = { accepted, "not accepted": drafted - accepted, bonus, resampled };
  for (const [name, count] of Object.entries(parts)) {
    if (count > 0) expect(efficiency).toContain(`${count} ${name}`);
    else expect(efficiency).not.toContain(name);
  }
}

async function seesCharts(tab: Tab): Promise<void> {
  const rounds = tab.ofType("metrics");
  const last = rounds.slice(-10);
  const values = tab.last("done").metrics;
  expect(await tab.table("Tokens per second")).toEqual(
    last.map((round) => [
      `${round.round + 1}`,
      fixed((1000 * round.round_emitted) / round.round_ms, 1),
      fixed(round.effective_tps, 1),
    ]),
  );
  expect(await tab.table(/^Latency per round/)).toEqual(
    last.map((round) => [
      `${round.round + 1}`,
      ...[round.round_ms, round.draft_ms, round.verify_ms, round.network_ms].map(milliseconds),
      ...[round.evidence_ms, round.other_ms].map(milliseconds),
    ]),
  );
  expect(await tab.table("Acceptance by position")).toEqual(
    values.per_position_acceptance_rate.map((rate, at) => [
      `${at + 1}`,
      percent(rate),
      percent(values.conditional_acceptance_rate[at]),
    ]),
  );
  const drawn = (figure: string, shape: string) => tab.region(figure).locator(shape).count();
  for (const part of [".plot-area", ".plot-line", ".plot-dots", ".plot-baseline"])
    expect(await drawn("Tokens per second", part)).toBe(1);
  const [area, dots] = await Promise.all(
    [".plot-area", ".plot-dots"].map((part) =>
      tab.region("Tokens per second").locator(part).getAttribute("d"),
    ),
  );
  const known = rounds.filter((round) => round.effective_tps !== null).length;
  // Over its rounds and back along the axis.
  expect(area?.match(/[ML]/g)).toHaveLength(2 * known);
  expect(dots?.match(/M/g)).toHaveLength(rounds.length);
  expect(await drawn("Latency per round, ms", ".plot-bar")).toBeGreaterThan(last.length);
}

async function copiesText(tab: Tab): Promise<void> {
  await tab.page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await tab.button("copy text").click();
  await tab.button("copied").waitFor();
  expect(await tab.page.evaluate(() => navigator.clipboard.readText())).toBe(tab.last("done").generated_text);
}

describe("a live run", () => {
  it("stops when asked to, and another one works", async () => {
    const tab = await openWith({ k: 2, temperature: 0, maxTokens: 1024 });
    await tab.generate(LONG);
    await tab.until("metrics", 3);
    await tab.button("Stop").click();
    await tab.announced(/^Run stopped/).waitFor({ state: "attached" });
    expect(tab.sent.at(-1)).toEqual({ type: "cancel" });
    expect(tab.last("done")).toMatchObject({ finish_reason: "cancelled" });
    expect(tab.last("done").total_tokens).toBeLessThan(1024);
    await seesText(tab);

    await tab.maxTokens(64);
    expect((await tab.run(CODE)).finish_reason).not.toBe("cancelled");
    await seesText(tab);
    expect(tab.ofType("error")).toEqual([]);
  });

  it("can be stopped on a phone where it is watched", async () => {
    const tab = await site.open({ viewport: PHONE });
    await tab.page.getByText("Settings", { exact: true }).click();
    await tab.maxTokens(1024);
    await tab.generate(LONG);
    await tab.until("metrics", 1);
    await tab.tree.waitFor();
    await tab.button("Stop").click();
    await tab.announced(/^Run stopped/).waitFor({ state: "attached" });
    expect(await tab.button("Stop").count()).toBe(0);
  });

  it("accepts changes of depth, temperature and drafter, and shows the round from which on they apply", async () => {
    const tab = await openWith({ k: 2, temperature: 0, maxTokens: 1024 });
    await tab.generate(LONG);
    await tab.until("metrics", 2);

    await tab.depth(4);
    await tab.until("updated", 1);
    await tab.temperature(0.5);
    await expect.poll(() => tab.ofType("updated").at(-1)?.sampling.temperature, soon).toBe(0.5);
    await tab.drafter("Draft model");
    await expect.poll(() => tab.ofType("updated").at(-1)?.drafter, soon).toBe("model");
    const updates = tab.ofType("updated");
    const since = (changed: (at: number) => boolean) =>
      `since round ${(updates[updates.findIndex((_, at) => changed(at))]?.round ?? Number.NaN) + 1}`;
    const note = (control: string) => tab.page.locator(`div:has(> p):has-text("${control}") > p`);
    await note("Depth K")
      .getByText(since((at) => updates[at]?.k === 4))
      .waitFor();
    await note("Temperature")
      .getByText(since((at) => updates[at]?.sampling.temperature === 0.5))
      .waitFor();
    await note("Drafter")
      .getByText(since((at) => updates[at]?.drafter === "model"))
      .waitFor();

    const first = updates.at(-1)?.round ?? Number.NaN;
    await expect.poll(() => tab.last("metrics").round, soon).toBeGreaterThan(first);
    expect(tab.ofType("metrics").find(({ round }) => round === first)).toMatchObject({
      k: 4,
      drafter: "model",
    });
    expect(tab.sent.filter(({ type }) => type === "update").length).toBeGreaterThanOrEqual(3);
    await tab.button("Stop").click();
    await tab.announced(/^Run stopped/).waitFor({ state: "attached" });
    expect(tab.ofType("error")).toEqual([]);
  });

  it("makes a second tab wait, with a message, and then serves it", async () => {
    const first = await openWith({ temperature: 0, maxTokens: 1024 });
    const second = await openWith({ temperature: 0 });
    await first.generate(LONG);
    await first.until("metrics", 1);

    await second.generate(CODE);
    await second.until("queued");
    expect(second.last("queued").place).toBe(1);
    const words = second.page.getByText("The model is busy. This run is next.");
    await expect.poll(() => words.count(), soon).toBe(2);
    expect(second.ofType("started")).toEqual([]);

    await first.button("Stop").click();
    await second.until("done");
    await second.announced(/^Run /).waitFor({ state: "attached" });
    expect(await words.count()).toBe(0);
    await seesText(second);
    expect(first.last("done").run).not.toBe(second.last("done").run);
  });
});
