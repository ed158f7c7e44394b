// Draft trees: drawing, keyboard, attention, rules; and shadow drafters.
import { describe, expect, it } from "vitest";
import type { DraftToken } from "../../src/protocol/generated";
import { fixed, percent } from "../../src/words/format";
import { violations } from "./axe";
import { TOY } from "./server";
import { PHONE, siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith([...TOY, "-k", "4", "--temperature", "1"]);
const PROMPT = "two sorted lists";
const NODES = 14;

const keyOf = ({ round, node }: DraftToken) => `${round}:${node}`;
const siblingsOf = (tab: Tab, { round, parent }: DraftToken) =>
  tab.ofType("draft_token").filter((other) => other.round === round && other.parent === parent);

/** A drafted token with a drafted parent, in a tree. */
function deepest(tab: Tab): DraftToken {
  const first = tab.ofType("draft_token").find((token) => siblingsOf(tab, token).length > 1);
  const inRound = tab.ofType("draft_token").filter(({ round }) => round === first?.round);
  const found = inRound.toSorted((a, b) => b.position - a.position)[0];
  if (!found || found.position === 0) throw new Error("No draft branches, or none is deep.");
  return found;
}

async function grown(options: Parameters<typeof site.open>[0] = {}): Promise<Tab> {
  const tab = await site.open(options);
  const settings = tab.page.getByText("Settings", { exact: true });
  if (await settings.isVisible()) await settings.click();
  await tab.drafter("Draft model");
  await tab.slide("Tree size", NODES);
  await tab.run(PROMPT);
  return tab;
}

/** Moves down through the siblings at the first position, and back up to the emitted token. */
async function walksSiblings(tab: Tab): Promise<void> {
  await tab.tree.focus();
  await tab.tree.press("Home");
  const first = tab.ofType("draft_token").filter(({ round, parent }) => round === 0 && parent === null);
  const emitted = tab.ofType("verify_result").find(({ round }) => round === 0);
  const below = first.filter(({ node }) => node !== emitted?.node).map(keyOf);
  for (const key of below) {
    await tab.tree.press("ArrowDown");
    expect(await tab.isLit(key)).toBe(true);
  }
  for (const _ of below) await tab.tree.press("ArrowUp");
  expect(await tab.isLit(`0:${emitted?.node ?? "+"}`)).toBe(true);
}

describe("a run that drafts trees", () => {
  it("draws every branch, with keyboard access, parents and attention", async () => {
    const tab = await grown();
    expect(tab.sent[0]).toMatchObject({ nodes: NODES, drafter: "model", rule: "token" });
    const drafted = tab.ofType("draft_token");
    expect(tab.last("done").total_drafted).toBe(drafted.length);
    expect(await tab.shownText()).toBe(tab.last("done").generated_text);
    await walksSiblings(tab);

    const token = deepest(tab);
    await tab.scrubber.focus();
    await tab.scrubber.press("Home");
    for (let round = 0; round <= token.round; round += 1) await tab.scrubber.press("ArrowRight");
    for (const drawn of drafted.filter(({ round }) => round === token.round)) {
      const siblings = siblingsOf(tab, drawn);
      const words = siblings.length === 1 ? "the only one" : `sibling ${siblings.indexOf(drawn) + 1} of`;
      const name = await tab.node(keyOf(drawn)).getAttribute("aria-label");
      expect(name).toContain(words);
      expect(name).toContain(drawn.parent === null ? "after the text" : "after ");
    }

    await tab.node(keyOf(token)).hover();
    const caption = tab.page.locator(".tt-caption");
    await caption.getByText(/attends to the whole text, \d+ drafted tokens? before it, and itself/).waitFor();
    const seen = tab.tree.locator(".tt-node.is-attended");
    expect(await seen.count()).toBe(token.position + 1);
    expect(await tab.tree.locator(".tt-node.is-unattended").count()).toBeGreaterThan(0);

    await tab.node(keyOf(token)).click();
    const matrix = tab.details.getByRole("img", { name: /^Tree attention/ });
    await matrix.waitFor();
    const inRound = drafted.filter(({ round }) => round === token.round);
    expect(await matrix.locator(".matrix-row").count()).toBe(inRound.length);
    expect(await matrix.locator(".is-chosen .matrix-attended").count()).toBe(token.position);
    expect(await violations(tab)).toEqual([]);
    await tab.page.mouse.move(5, 5);
    await caption.waitFor({ state: "detached" });
    expect(tab.problems).toEqual([]);
  });

  it("fits a phone in light colours, and is accessible there", async () => {
    const tab = await grown({ viewport: PHONE, colorScheme: "light" });
    const [view, right] = await tab.tree.evaluate((tree) => {
      const nodes = [...tree.querySelectorAll(".tt-node")].map((node) => node.getBoundingClientRect().right);
      return [tree.getBoundingClientRect().right, Math.max(...nodes)];
    });
    expect(right).toBeLessThanOrEqual(view ?? 0);
    expect(await violations(tab)).toEqual([]);
  });
});

describe("a lossy rule", () => {
  it("is marked before and during a run", async () => {
    const tab = await site.open();
    const rule = tab.page.getByLabel("Rule", { exact: true });
    await rule.selectOption({ label: "Typical (lossy)" });
    await tab.page.locator(".lossy").waitFor();
    await tab.run(PROMPT);
    expect(tab.sent[0]).toMatchObject({ rule: "typical" });
    await tab.button("Exactness: lossy").waitFor();
    await tab.announced(/Exactness: lossy\.$/).waitFor({ state: "attached" });
    await rule.selectOption("block");
    await expect.poll(() => tab.page.getByRole("slider", { name: "Tree size" }).count(), soon).toBe(0);
    await tab.run(PROMPT);
    expect(tab.sent[1]).toMatchObject({ rule: "block", nodes: 0 });
    await tab.button("Exactness: exact").waitFor();
  });
});

describe("shadow drafters", () => {
  it("draft from the same prefix, and are scored", async () => {
    const tab = await site.open();
    await tab.drafter("Draft model");
    expect(await tab.region("Shadow drafters").count()).toBe(0);
    await tab.page.getByText("Shadow drafters").click();
    await tab.page.getByRole("checkbox", { name: "Prompt lookup" }).check();
    await tab.page.getByRole("checkbox", { name: "Several branches" }).check();
    await tab.run(PROMPT);
    expect(tab.sent[0]).toMatchObject({ shadow: ["ngram", "multi"] });

    const { scores, guesses } = tab.last("shadow");
    expect(scores.map(({ drafter }) => drafter)).toEqual(["model", "ngram", "multi", "oracle"]);
    const rows = await tab.table("Scores of the drafters");
    expect(rows.map(([matched, best]) => [matched, best])).toEqual(
      scores.map(({ mean_matched, best_share, drafter }) => [
        fixed(mean_matched),
        drafter === "oracle" ? "" : percent(best_share),
      ]),
    );
    const marked = await tab
      .region("Shadow drafters")
      .getByRole("listitem")
      .evaluateAll((items) => items.map((item) => item.querySelectorAll(".is-matched").length));
    expect(marked).toEqual(guesses.map(({ matched }) => matched));
    expect(await violations(tab)).toEqual([]);
  });
});
