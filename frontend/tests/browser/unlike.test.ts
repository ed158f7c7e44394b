// A run whose passes took longer than those of its baseline: no speedup is claimed until plain decoding was measured under the
// same load. The times are set here, because a test cannot choose what else uses the processor.
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import type { ServerMessage } from "../../src/protocol/generated";
import { violations } from "./axe";
import { lasting } from "./lasting";
import { TOY } from "./server";
import { siteWith } from "./site";
import { soon } from "./tab";

const site = siteWith([...TOY, "-k", "4", "--temperature", "1"]);
const PROMPT = "two sorted lists";
const QUIET_TPS = 1000 / 31;
const LOADED_TPS = 1000 / 66;
const TIMES = [30, 36, 44, 52, 60].map((ms, at) => ({ tokens: at + 1, ms }));

/** The event as a machine would have sent it that was quiet at the start, and that drawing the page has loaded since. */
function underLoad(event: ServerMessage): ServerMessage {
  if (event.type === "started") {
    const baseline = event.baseline && { ...event.baseline, tps: QUIET_TPS };
    return { ...event, baseline, pass_times: TIMES };
  }
  if (event.type === "metrics") {
    const verify_ms = event.round_drafted === 0 ? 65 : 140;
    return { ...event, verify_ms, round_ms: verify_ms + event.draft_ms, baseline_tps: QUIET_TPS };
  }
  if (event.type !== "done") return event;
  const overall_tps = event.total_drafted === 0 ? LOADED_TPS : event.metrics.overall_tps;
  return { ...event, metrics: { ...event.metrics, overall_tps, baseline_tps: QUIET_TPS } };
}

async function loaded(page: Page): Promise<void> {
  await lasting(page);
  await page.routeWebSocket(/\/ws\/tokens$/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((data) => socket.send(JSON.stringify(underLoad(JSON.parse(`${data}`)))));
  });
}

it("shows no speedup, states why, and shows one after plain decoding was measured under the same load", async () => {
  const tab = await site.open({}, loaded);
  await tab.run(PROMPT);
  const speedup = tab.region("Speedup");
  const large = speedup.locator(".verdict-large");
  await speedup
    .getByText(/A pass over 5 tokens took 140 ms in this run and 62 ms at the speed of the baseline/)
    .waitFor();
  expect(await large.count()).toBe(0);
  expect(await speedup.getByText("No verdict", { exact: true }).count()).toBe(1);
  await tab.announced(/not comparable with its baseline/).waitFor({ state: "attached" });
  expect(await violations(tab)).toEqual([]);

  const text = await tab.shownText();
  await tab.button("Measure plain now").click();
  await tab.until("done", 2);
  await expect.poll(() => large.textContent(), soon).toMatch(/^\d+\.\d\d×$/);
  expect(await speedup.textContent()).not.toContain("cannot be compared");
  expect(await speedup.textContent()).toContain("full plain run of this prompt");
  expect(await tab.shownText()).toBe(text);
  expect(tab.problems).toEqual([]);
});
