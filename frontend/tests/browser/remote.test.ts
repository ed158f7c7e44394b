// A target in another process, at the end of a socket: its facts, its figures and its usage on the page.
import { afterAll, describe, expect, it } from "vitest";
import { fixed, kibibytes, milliseconds } from "../../src/words/format";
import { violations } from "./axe";
import { distance } from "./distance";
import { lasting } from "./lasting";
import { verifier } from "./server";
import { PHONE, siteWith } from "./site";
import type { Tab } from "./tab";

/** Long enough that drafting ahead gains even on a busy machine. */
const ONE_WAY_MS = 25;
const ends: { stop(): Promise<void> }[] = [];
afterAll(async () => {
  for (const end of ends.toReversed()) await end.stop();
});

const site = siteWith(async () => {
  const target = await verifier(["--target", "toy:0"]);
  ends.push(target);
  const way = await distance(target.port, ONE_WAY_MS);
  ends.push(way);
  const place = `verifier:ws://127.0.0.1:${way.port}`;
  return ["--target", place, "--draft", "toy:0~7", "-k", "4", "--temperature", "1"];
});
/** Its answer has about forty tokens, with every status. */
const PROMPT = "two sorted lists";

/** The terms of a definition list with their values. */
const definitions = (tab: Tab, role: "dialog" | "region", name: string) =>
  tab.page
    .getByRole(role, { name, exact: true })
    .evaluate((element) =>
      Object.fromEntries(
        [...element.querySelectorAll("dl > div")].map((row) => [
          row.querySelector("dt")?.textContent ?? "",
          row.querySelector("dd")?.textContent ?? "",
        ]),
      ),
    );

function remoteOf(tab: Tab) {
  const { remote } = tab.last("started");
  if (!remote) throw new Error("The target is not remote.");
  return remote;
}

describe.each(["dark", "light"] as const)("a run against a verifier, in %s colours", (colorScheme) => {
  it("completes, and shows the target's address and the findings of the probe", async () => {
    const tab = await site.open({ colorScheme });
    const done = await tab.run(PROMPT);
    expect(done.finish_reason).not.toBe("error");
    expect(await tab.shownText()).toBe(done.generated_text);
    await tab.announced(/times the speed of one streaming call/).waitFor({ state: "attached" });

    const remote = remoteOf(tab);
    expect(remote.rtt_ms).toBeGreaterThanOrEqual(2 * ONE_WAY_MS - 5);
    const host = new URL(remote.url).host;
    await tab.button("Exactness: exact").click();
    expect(await definitions(tab, "dialog", "Exactness")).toMatchObject({
      Mode: "verifier: our verifier applies the rule, one round trip per round",
      Address: remote.url,
      "Round trip": `${milliseconds(remote.rtt_ms)}, measured`,
      "Calls per round": "1",
      ...Object.fromEntries(remote.findings.map(({ question, answer }) => [question, answer])),
    });
    expect(remote.findings.length).toBeGreaterThan(2);
    expect(await violations(tab)).toEqual([]);
    await tab.page.keyboard.press("Escape");

    await tab.button(new RegExp(`drafts for .* at ${host}, round trip .*`)).click();
    const models = tab.page.getByRole("dialog", { name: "Models" });
    await models.getByText(`remote: ${remote.url}`).waitFor();
    expect(await violations(tab)).toEqual([]);
    expect(tab.problems).toEqual([]);
  });
});

it("fits a phone with the facts of the target open", async () => {
  const tab = await site.open({ viewport: PHONE });
  await tab.run(PROMPT);
  await tab.button("Exactness: exact").click();
  const box = await tab.page.getByRole("dialog", { name: "Exactness" }).boundingBox();
  expect(box?.x).toBeGreaterThanOrEqual(0);
  expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(PHONE.width);
  expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThanOrEqual(PHONE.height);
  expect(await violations(tab)).toEqual([]);
});

describe("the figures of a run against a verifier", () => {
  it("show drafting ahead next to the sum, not in it", async () => {
    const tab = await site.open();
    await tab.run(PROMPT);
    const rounds = tab.ofType("metrics").slice(-10);
    const ahead = rounds.filter((round) => round.hidden_draft_ms >= 0.05);
    expect(ahead.length).toBeGreaterThan(0);
    for (const { hidden_draft_ms, network_ms, verify_ms } of ahead) {
      expect(hidden_draft_ms).toBeLessThanOrEqual(network_ms + verify_ms + 1);
    }
    const latency = tab.region("Latency per round, ms");
    await latency.getByRole("button", { name: "drafting ahead" }).waitFor();
    expect(await latency.locator(".db-ahead").count()).toBe(ahead.length);
    expect((await tab.table(/^Latency per round/)).map((row) => [row[1], row[7]])).toEqual(
      rounds.map((round) => {
        return [
          milliseconds(round.round_ms),
          milliseconds(ahead.includes(round) ? round.hidden_draft_ms : 0),
        ];
      }),
    );
  });

  it("are relative to either baseline, chosen with the pointer or the keyboard", async () => {
    const tab = await site.open();
    const values = (await tab.run(PROMPT)).metrics;
    const speedup = tab.region("Speedup");
    const baseline = (name: string) => speedup.getByRole("radio", { name, exact: true });
    const shows = async (times: number | null, tps: number | null, words: string) => {
      await speedup.getByText(`${fixed(times)}×`, { exact: true }).waitFor();
      expect(await speedup.textContent()).toContain(
        `${fixed(values.effective_tps, 1)} tok/s against ${fixed(tps, 1)} ${words}, measured (`,
      );
    };
    expect(values.per_call_tps).not.toBe(values.baseline_tps);
    await shows(values.speedup, values.baseline_tps, "streaming");
    await baseline("per call").click();
    await shows(values.per_call_speedup, values.per_call_tps, "with one call per token");
    await tab.arrowTo(baseline("streaming"), "ArrowLeft");
    await shows(values.speedup, values.baseline_tps, "streaming");
  });

  it("include the usage, without unknown figures", async () => {
    const tab = await site.open();
    const { usage, rounds } = (await tab.run(PROMPT)).metrics;
    if (usage?.sent_bytes == null || usage.received_bytes == null) throw new Error("Nothing was counted.");
    expect(usage.calls).toBe(rounds);
    const data = [
      `${kibibytes(usage.sent_bytes / rounds)} sent`,
      `${kibibytes(usage.received_bytes / rounds)} received`,
    ];
    expect(await definitions(tab, "region", "Usage of the target")).toEqual({
      Calls: `${rounds}, 1 per round`,
      "Data per round": data.join(", "),
    });
  });

  it("measure one call per token when the target runs alone", async () => {
    // A run of fewer than 16 tokens is no baseline.
    const tab = await site.open({}, lasting);
    await tab.maxTokens(64);
    await tab.run(PROMPT);
    await tab.button("Measure plain now").click();
    await tab.until("done", 2);
    const plain = tab.last("done");
    expect(plain.total_tokens).toBe(64);
    await tab.button("Generate").waitFor();
    await tab.run(PROMPT);
    expect(tab.last("started").per_call_baseline).toMatchObject({ tokens: plain.total_tokens });
    await tab.region("Speedup").getByRole("radio", { name: "per call", exact: true }).click();
    expect(await tab.region("Speedup").textContent()).toContain(`measured (${plain.total_tokens} tokens, `);
  });
});
