// One round as a force-directed graph: every token of the round, by keyboard alone, accessible in both themes.
import { describe, expect, it } from "vitest";
import { violations } from "./axe";
import { TOY } from "./server";
import { siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith([...TOY, "-k", "4", "--nodes", "12", "--drafter", "model", "--temperature", "1"]);

/** The tokens of a round: those that were drafted, and the one after the accepted path. */
function keysOf(tab: Tab, round: number): string[] {
  const drafted = tab.ofType("draft_token").filter((token) => token.round === round);
  const extra = tab.ofType("verify_result").filter((one) => one.round === round && one.node === null);
  return [...drafted.map(({ node }) => `${round}:${node}`), ...extra.map(() => `${round}:+`)];
}

describe.each(["dark", "light"] as const)("in %s colours", (colorScheme) => {
  it("shows every token of a round, and the keyboard reaches, selects and leaves them", async () => {
    const tab = await site.open({ colorScheme });
    await tab.run("two sorted lists");
    await tab.button("Show one round as a graph").focus();
    await tab.page.keyboard.press("Enter");
    const items = tab.tree.getByRole("treeitem");
    const keys = () => items.evaluateAll((all) => all.map((item) => item.getAttribute("data-key")));
    const last = tab.last("metrics").round;
    await expect.poll(keys, soon).toEqual(keysOf(tab, last));
    expect(await violations(tab)).toEqual([]);

    await tab.region("Token tree").getByRole("button", { name: "Previous round" }).focus();
    await tab.page.keyboard.press("Enter");
    const wanted = keysOf(tab, last - 1);
    expect(wanted.length).toBeGreaterThan(4);
    await expect.poll(keys, soon).toEqual(wanted);

    await tab.tree.focus();
    const active = () => tab.tree.getAttribute("aria-activedescendant");
    await tab.page.keyboard.press("Home");
    await expect.poll(active, soon).toMatch(new RegExp(`${wanted[0]}$`));
    await tab.page.keyboard.press("ArrowRight");
    await expect.poll(active, soon).not.toMatch(new RegExp(`${wanted[0]}$`));
    await tab.page.keyboard.press("Home");
    await tab.page.keyboard.press("Enter");
    await tab.details.waitFor();
    expect(await tab.node(wanted[0] ?? "").getAttribute("aria-selected")).toBe("true");
    expect(await violations(tab)).toEqual([]);
    await tab.tree.focus();
    await tab.page.keyboard.press("Escape");
    await tab.details.waitFor({ state: "detached" });

    await tab.button("Show one round as a graph").focus();
    await tab.page.keyboard.press("Enter");
    await expect.poll(() => items.count(), soon).toBeGreaterThan(wanted.length);
    expect(tab.problems).toEqual([]);
  });
});
