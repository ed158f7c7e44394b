// Hovering and selecting tokens, the keyboard, and playback. On the toy model, whose runs are always the same.
import { describe, expect, it } from "vitest";
import type { VerifyResult } from "../../src/protocol/generated";
import { fixed, percent, probability, shown } from "../../src/words/format";
import { TOY } from "./server";
import { siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith([...TOY, "-k", "4", "--temperature", "1"]);
/** Its answer has about forty tokens, with every status. */
const PROMPT = "two sorted lists";

const keyOf = ({ round, node }: VerifyResult) => `${round}:${node ?? "+"}`;

function lastWith(tab: Tab, status: VerifyResult["status"]): VerifyResult {
  const found = tab.ofType("verify_result").findLast((result) => result.status === status);
  if (!found) throw new Error(`The run has no ${status} token.`);
  return found;
}

const draftOf = (tab: Tab, { round, node }: VerifyResult) =>
  tab.ofType("draft_token").find((draft) => draft.round === round && draft.node === node);

async function ranOnce(): Promise<Tab> {
  const tab = await site.open();
  await tab.run(PROMPT);
  return tab;
}

describe("hovering a token", () => {
  it("in the text shows its figures and highlights it in the tree", async () => {
    const tab = await ranOnce();
    const result = lastWith(tab, "accepted");
    const draft = draftOf(tab, result);
    await tab.token(keyOf(result)).hover();

    const card = tab.page.locator(".token-card");
    await card.waitFor();
    const words = await card.evaluate((element) => element.textContent);
    for (const part of [
      "accepted",
      `round, position${result.round + 1}, ${result.position + 1}`,
      `target p${percent(result.target_prob)}`,
      `draft q${percent(result.draft_prob)}`,
      `target log-prob, raw${fixed(result.target_logprob)} (${percent(probability(result.target_logprob))})`,
      `draft log-prob, raw${fixed(result.draft_logprob)} (${percent(probability(result.draft_logprob))})`,
      `covered mass${percent(draft?.covered_mass)}`,
      `acceptance prob.${percent(result.acceptance_prob)}`,
      `entropy${fixed(result.entropy)} nats`,
    ]) {
      expect(words).toContain(part);
    }
    await expect.poll(() => tab.isLit(keyOf(result)), soon).toBe(true);
    expect(await tab.tree.locator(".tt-node.is-lit").count()).toBe(1);

    await tab.page.mouse.move(5, 5);
    await card.waitFor({ state: "detached" });
    expect(await tab.tree.locator(".is-lit").count()).toBe(0);
  });

  it("in the tree highlights it in the text", async () => {
    const tab = await ranOnce();
    const key = keyOf(lastWith(tab, "resampled"));
    await tab.node(key).hover();
    await expect.poll(() => tab.token(key).getAttribute("data-hovered"), soon).toBe("true");
    expect(await tab.text.locator("[data-hovered]").count()).toBe(1);
    await tab.page.locator(".tt-tooltip").getByText("drafted by").waitFor();
  });

  it("and clicking shows p and q as used, the residual, and the raw scores", async () => {
    const tab = await ranOnce();
    const result = lastWith(tab, "resampled");
    const rejected = tab
      .ofType("verify_result")
      .find(({ round, status }) => round === result.round && status === "rejected");
    await tab.token(keyOf(result)).click();

    const rows = (title: string) =>
      tab.details
        .getByRole("region", { name: title, exact: true })
        .locator("tbody tr")
        .evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
    const compared = rejected?.compared ?? [];
    expect(compared.length).toBeGreaterThan(1);
    const redrawn = new Map(
      result.residual_top_tokens.map((top) => [top.token_id, probability(top.logprob)]),
    );
    expect((await rows("Decision")).map(([label, , p, q]) => [label, p, q])).toEqual(
      compared.map((one) => [shown(one.token), percent(one.target_prob), percent(one.draft_prob)]),
    );
    const chosen = (await rows("Decision")).find(([label]) => label === shown(result.final_token ?? ""));
    expect(chosen?.[4]).toBe(percent(redrawn.get(result.token_id)));
    const raw = new Map((await rows("Raw scores")).map(([label, target, draft]) => [label, [target, draft]]));
    const draft = rejected && draftOf(tab, rejected);
    expect(draft?.top_tokens.length).toBeGreaterThan(1);
    for (const { token, logprob } of result.target_top_tokens)
      expect(raw.get(shown(token))?.[0]).toBe(percent(probability(logprob)));
    for (const { token, logprob } of draft?.top_tokens ?? [])
      expect(raw.get(shown(token))?.[1]).toBe(percent(probability(logprob)));

    await tab.details.getByRole("button", { name: shown(rejected?.draft_token ?? "") }).click();
    await tab.details.getByText("Replaced by").waitFor();
    await tab.details.getByText("Rejected: the acceptance probability is").waitFor();
    await tab.button("Close token details").click();
    await tab.details.waitFor({ state: "detached" });
  });

  it("shows rejected tokens in the text only on demand", async () => {
    const tab = await ranOnce();
    const rejected = tab.ofType("verify_result").filter(({ status }) => status === "rejected");
    const struck = tab.text.locator('[data-status="rejected"]');
    expect(await struck.count()).toBe(0);
    await tab.page.getByLabel("show rejected").check();
    expect(await struck.count()).toBe(rejected.length);
    expect(await tab.shownText()).toBe(tab.last("done").generated_text);
  });
});

describe("the keyboard alone", () => {
  /** Presses Tab until the element has the focus. A page that needs more presses is not usable by keyboard. */
  async function tabTo(tab: Tab, reached: () => Promise<boolean>): Promise<void> {
    for (let presses = 0; presses < 60; presses += 1) {
      if (await reached()) return;
      await tab.page.keyboard.press("Tab");
    }
    throw new Error(`Tab did not lead there; the focus is on ${await tab.focused()}.`);
  }
  const isOn = (tab: Tab, selector: string) => () =>
    tab.page.evaluate((wanted) => document.activeElement?.matches(wanted) === true, selector);

  it("writes a prompt, runs it, moves through the text, and opens and closes the details", async () => {
    const tab = await site.open();
    const { keyboard } = tab.page;
    await tabTo(tab, isOn(tab, "textarea"));
    await keyboard.press("Control+A");
    await keyboard.type(PROMPT);
    await keyboard.press("Control+Enter");
    await tab.until("done");
    await tab.announced(/^Run finished/).waitFor({ state: "attached" });
    expect(tab.sent).toMatchObject([{ type: "start", prompt: PROMPT }]);

    const emitted = tab
      .ofType("verify_result")
      .filter((result) => /accepted|resampled|bonus/.test(result.status));
    const keys = emitted.map(keyOf);
    await tabTo(tab, isOn(tab, "[role=option]"));
    expect(await tab.focused()).toBe(keys[0]);
    await keyboard.press("ArrowRight");
    await keyboard.press("ArrowRight");
    expect(await tab.focused()).toBe(keys[2]);
    await keyboard.press("ArrowLeft");
    expect(await tab.focused()).toBe(keys[1]);
    await keyboard.press("ArrowDown");
    const next = emitted.find(({ round }) => round === (emitted[1]?.round ?? 0) + 1);
    expect(await tab.focused()).toBe(next && keyOf(next));
    await keyboard.press("End");
    expect(await tab.focused()).toBe(keys.at(-1));
    await tab.page.locator(".token-card").waitFor();
    expect(await tab.isLit(keys.at(-1) ?? "")).toBe(true);

    await keyboard.press("Enter");
    await tab.details.waitFor();
    expect(await tab.token(keys.at(-1) ?? "").getAttribute("aria-selected")).toBe("true");
    await keyboard.press("Escape");
    await tab.details.waitFor({ state: "detached" });
    expect(await tab.focused()).toBe(keys.at(-1));
  });

  it("moves in the tree down to a rejected token", async () => {
    const tab = await ranOnce();
    await tab.tree.focus();
    await tab.tree.press("Home");
    const results = tab.ofType("verify_result");
    const first = results.find(({ status }) => status === "rejected");
    const above = results.filter(({ round, status }) => round === first?.round && status === "resampled")[0];
    if (!first || !above) throw new Error("The run has no rejection.");
    const at = results.filter(({ status }) => !/rejected|discarded/.test(status)).indexOf(above);
    for (let step = 0; step < at; step += 1) await tab.tree.press("ArrowRight");
    await tab.tree.press("ArrowDown");
    expect(await tab.isLit(keyOf(first))).toBe(true);
    await tab.tree.press("Enter");
    await tab.details.getByText("Replaced by").waitFor();
    await tab.tree.press("Escape");
    await tab.details.waitFor({ state: "detached" });
  });
});

describe("playback", () => {
  const round = (tab: Tab) => tab.scrubber.getAttribute("aria-valuenow").then(Number);

  it("steps, seeks and shows the figures of the current round", async () => {
    const tab = await ranOnce();
    const rounds = tab.ofType("metrics");
    expect(await round(tab)).toBe(rounds.length);

    await tab.scrubber.focus();
    await tab.scrubber.press("Home");
    await tab.scrubber.press("ArrowRight");
    expect(await round(tab)).toBe(1);
    const speed = fixed(rounds[0]?.speedup);
    await tab.region("Speedup").getByText(`${speed}×`, { exact: true }).waitFor();
    const emitted = tab.ofType("verify_result").filter((result) => result.round === 0 && result.text !== "");
    expect(await tab.shownText()).toBe(emitted.map(({ text }) => text).join(""));
    const inRound = tab.ofType("draft_token").filter((draft) => draft.round === 0).length + 1;
    expect(await tab.tree.getByRole("treeitem").count()).toBe(inRound);

    await tab.button("Next token").click();
    await expect.poll(() => tab.tree.getByRole("treeitem").count(), soon).toBe(inRound + 1);
    await tab.button("Previous token").click();
    await expect.poll(() => tab.tree.getByRole("treeitem").count(), soon).toBe(inRound);
    await tab.button("Next round").click();
    await expect.poll(() => round(tab), soon).toBe(2);
    await tab.scrubber.press("End");
    expect(await round(tab)).toBe(rounds.length);
    expect(await tab.shownText()).toBe(tab.last("done").generated_text);
  });

  it("seeks by a click on the scrubber", async () => {
    const tab = await ranOnce();
    const rounds = tab.ofType("metrics").length;
    const box = await tab.scrubber.boundingBox();
    if (!box) throw new Error("The scrubber is not visible.");
    await tab.page.mouse.click(box.x + (box.width * 0.5) / rounds, box.y + box.height / 2);
    expect(await round(tab)).toBe(1);
    await tab.page.mouse.click(box.x + box.width - 2, box.y + box.height / 2);
    expect(await round(tab)).toBe(rounds);
  });

  it("plays a live run in slow motion, pauses it, and catches up with it", async () => {
    const tab = await ranOnce();
    await tab.page.getByLabel("Playback speed").selectOption("slow");
    await tab.generate(PROMPT);
    await tab.until("done", 2);
    await tab.tree.getByRole("treeitem").first().waitFor();
    await tab.button("Pause").click();
    const rounds = tab.last("done").total_rounds;
    const held = await tab.tree.getByRole("treeitem").count();
    expect(await round(tab)).toBeLessThan(rounds);
    expect(await tab.announced(/^Run /).count()).toBe(0);
    await tab.page.evaluate(() => new Promise((done) => setTimeout(done, 500)));
    expect(await tab.tree.getByRole("treeitem").count()).toBe(held);

    await tab.page.getByLabel("Playback speed").selectOption("real time");
    await tab.button("Play").click();
    await expect.poll(() => round(tab), soon).toBe(rounds);
    await tab.announced(/^Run finished/).waitFor({ state: "attached" });
    expect(await tab.shownText()).toBe(tab.last("done").generated_text);
  });
});
