// A run under the policy auto: what the form sends, and the plan of a round.
import { describe, expect, it } from "vitest";
import { measuredWords, planReason } from "../../src/words/plan";
import { violations } from "./axe";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith([...TOY, "--temperature", "1"]);
const PROMPT = "two sorted lists";

/** Chooses a policy with the keyboard, from the server's own, which is the last of the three. */
async function choosesAuto(tab: Tab): Promise<void> {
  await tab.part("Prompt");
  const settings = tab.page.getByText("Settings", { exact: true });
  if (await settings.isVisible()) await settings.click();
  const policy = (name: string) => tab.page.getByRole("radio", { name, exact: true });
  await policy("fixed").focus();
  await tab.arrowTo(policy("adaptive"), "ArrowLeft");
  await tab.arrowTo(policy("auto"), "ArrowLeft");
}

describe.each([
  ["a desktop", DESKTOP, "dark"],
  ["a phone", PHONE, "light"],
] as const)("a run under auto on %s", (_name, viewport, colorScheme) => {
  it("leaves drafter and depth to the policy, and shows the plan of each round", async () => {
    const tab = await site.open({ viewport, colorScheme });
    await choosesAuto(tab);
    await tab.run(PROMPT);
    expect(tab.sent[0]).toMatchObject({ policy: "auto", drafter: null, k: null, nodes: 0 });
    expect(tab.last("started")).toMatchObject({ policy: "auto", k: 12 });
    expect(tab.last("done").departure).toBeNull();

    const rounds = tab.ofType("metrics");
    const shown = async (words: string) => expect.poll(() => panel.textContent(), soon).toContain(words);
    const panel = tab.region("Plan of the round");
    await tab.part("Figures");
    expect(await panel.textContent()).toContain("auto, at most 12");
    for (const metrics of [rounds.at(-1), rounds[0]]) {
      if (!metrics?.plan) throw new Error("A round of auto has no plan.");
      await shown(`Plan of round ${metrics.round + 1}`);
      await shown(planReason(metrics.plan));
      await shown(measuredWords(metrics));
      await tab.scrubber.focus();
      await tab.scrubber.press("Home");
      await tab.scrubber.press("ArrowRight");
    }

    await tab.part("Text");
    await tab.text.getByRole("option").first().click();
    await tab.details.getByRole("region", { name: "Plan of round 1" }).waitFor();
    expect(await violations(tab)).toEqual([]);
    expect(tab.problems).toEqual([]);
  });
});

it("is what the form has after a reload, with the drafter that was named for it", async () => {
  const tab = await site.open();
  await choosesAuto(tab);
  await tab.drafter("Prompt lookup");
  await tab.slide("Largest depth", 5);
  await tab.goTo(site.server.url);
  await tab.run(PROMPT);
  expect(tab.sent.at(-1)).toMatchObject({ policy: "auto", drafter: "ngram", k: 6 });
  await tab.drafter("Chosen by auto");
  await tab.run(PROMPT);
  expect(tab.sent.at(-1)).toMatchObject({ policy: "auto", drafter: null, k: 6 });
});
