import { it } from "vitest";
import { TOY } from "./server";
import { siteWith } from "./site";
const site = siteWith([...TOY, "-k", "4", "--temperature", "1"]);
it.each([1,2,3,4,5,6,7,8,9,10,11,12])("probe %i", async (i) => {
  const tab = await site.open({ reducedMotion: i % 2 ? "no-preference" : "reduce" });
  await tab.run("two sorted lists");
  await tab.page.getByLabel("Playback speed").selectOption("paced");
  await tab.scrubber.focus();
  await tab.scrubber.press("Home");
  const frames = () => tab.page.evaluate(() => new Promise<string>((r) => { let n = 0, a=0; const t = performance.now(); const f = () => { n++; a=Math.max(a,document.getAnimations().length); performance.now() - t < 2000 ? requestAnimationFrame(f) : r(`${n} ${a} ${Math.round(performance.now()-t)} ${document.visibilityState}`); }; f(); setTimeout(()=>r(`TIMEOUT ${n} ${document.visibilityState} ${document.hasFocus()}`),9000)}));
  const p = frames();
  await tab.button("Play").click({timeout: 8000}).catch((e) => console.log(i, "CLICK", String(e).slice(0,100)));
  console.log(i, await p, await tab.scrubber.getAttribute("aria-valuenow"));
});
