// The page as a whole: accessibility, width, reduced motion, theme.
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import type { ServerMessage } from "../../src/protocol/generated";
import { settled, violations } from "./axe";
import { lasting } from "./lasting";
import { TOY } from "./server";
import { DESKTOP, PHONE, siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith([...TOY, "-k", "4", "--temperature", "1"]);
/** Its answer has about forty tokens, with every status. */
const PROMPT = "two sorted lists";
/** Pauses the recording, which plays on a first visit if there is one. */
async function atRest(tab: Tab): Promise<void> {
  const pause = tab.button("Pause");
  if (await pause.isVisible()) await pause.click();
}

/** A run in slow motion, paused in the middle. */
async function heldRun(tab: Tab): Promise<void> {
  await tab.run(PROMPT);
  await tab.page.getByLabel("Playback speed").selectOption("slow");
  await tab.scrubber.focus();
  await tab.scrubber.press("Home");
  for (let round = 0; round < 3; round += 1) await tab.scrubber.press("ArrowRight");
  await tab.button("Play").click();
  await tab.tree.locator('[data-status="pending"]').first().waitFor();
  await tab.button("Pause").click();
}

describe.each(["dark", "light"] as const)("in %s colours", (colorScheme) => {
  it.each([
    ["a desktop", DESKTOP],
    ["a phone", PHONE],
  ])("is accessible on %s, before, during and after a run", async (_name, viewport) => {
    const tab = await site.open({ colorScheme, viewport });
    await atRest(tab);
    expect(await tab.page.locator("html").getAttribute("data-theme")).toBe(colorScheme);
    expect(await violations(tab)).toEqual([]);
    await heldRun(tab);
    expect(await tab.announced(/^Run /).count()).toBe(0);
    expect(await violations(tab)).toEqual([]);
    await tab.scrubber.press("End");
    await tab.announced(/^Run /).waitFor({ state: "attached" });
    for (const part of ["Figures", "Text"] as const) {
      await tab.part(part);
      expect(await violations(tab)).toEqual([]);
    }
    await tab.token("0:0").click();
    await tab.details.waitFor();
    expect(await violations(tab)).toEqual([]);
    await tab.button("Close token details").click();
    await tab.button(/drafts for/).click();
    await tab.page.getByRole("dialog", { name: "Models" }).waitFor();
    expect(await violations(tab)).toEqual([]);
    expect(tab.problems).toEqual([]);
  });
});

describe("a phone", () => {
  it("shows one part at a time, the tree as soon as there is a run, and its details over it", async () => {
    const tab = await site.open({ viewport: PHONE });
    await atRest(tab);
    expect(await tab.tree.isVisible()).toBe(false);
    await tab.run(PROMPT);
    await expect.poll(() => tab.tree.isVisible(), soon).toBe(true);
    expect(await tab.text.isVisible()).toBe(false);
    await tab.node("0:0").click();
    await tab.details.waitFor();
    await tab.button("Close token details").click();
    await tab.part("Text");
    expect(await tab.shownText()).toBe(tab.last("done").generated_text);
    await tab.part("Figures");
    expect(await tab.text.isVisible()).toBe(false);
    await tab.region("Measurements").waitFor();
    const transport = await tab.region("Playback").boundingBox();
    expect(transport?.height).toBeLessThan(60);
  });
});

describe("the keyboard", () => {
  it("plays, steps and lists its shortcuts wherever the focus is", async () => {
    const tab = await site.open();
    await atRest(tab);
    await tab.run(PROMPT);
    const round = () => tab.scrubber.getAttribute("aria-valuenow").then(Number);
    await tab.button(/^Keyboard shortcuts/).focus();
    await tab.page.keyboard.press("Home");
    await expect.poll(round, soon).toBe(0);
    await tab.page.keyboard.press("ArrowRight");
    await expect.poll(round, soon).toBe(1);
    await tab.page.keyboard.press("?");
    const list = tab.page.getByRole("dialog", { name: "Keyboard shortcuts" });
    await list.waitFor();
    expect(await violations(tab)).toEqual([]);
    await tab.page.keyboard.press("Escape");
    await list.waitFor({ state: "detached" });
    await tab.prompt.focus();
    await tab.page.keyboard.press("Home");
    expect(await round()).toBe(1);
  });

  it("reaches everything in at most 42 tab stops", async () => {
    const tab = await site.open();
    await atRest(tab);
    await tab.run(PROMPT);
    await tab.page.getByRole("link", { name: "Skip to the text" }).focus();
    const stops = await tab.page.evaluate(() => new Set([document.activeElement]).size);
    expect(stops).toBe(1);
    const seen = new Set<string>();
    for (let presses = 0; presses < 80; presses += 1) {
      const name = await tab.page.evaluate(() => {
        const element = document.activeElement;
        if (!(element instanceof HTMLElement) || element === document.body) return null;
        element.dataset.stop ??= `${document.querySelectorAll("[data-stop]").length}`;
        return element.dataset.stop;
      });
      if (name === null || (seen.has(name) && presses > seen.size)) break;
      seen.add(name);
      await tab.page.keyboard.press("Tab");
    }
    expect(seen.size).toBeGreaterThan(10);
    expect(seen.size).toBeLessThanOrEqual(42);
  });
});

describe("the choice of a drafter", () => {
  it("lets the keyboard read why a drafter is unavailable, and go back", async () => {
    const tab = await site.open();
    await atRest(tab);
    const control = tab.page.getByRole("combobox", { name: "Drafter", exact: true });
    const before = await control.textContent();
    await control.press("Enter");
    await tab.page.keyboard.press("End");
    const missing = tab.drafters.getByRole("option", { name: /^Self-speculation .*Choose a GGUF target\.$/ });
    await expect.poll(() => missing.evaluate((option) => option === document.activeElement), soon).toBe(true);
    expect(await missing.getAttribute("aria-disabled")).toBe("true");
    await tab.page.keyboard.press("Enter");
    expect(await violations(tab, "[role=listbox][aria-label=Drafters]")).toEqual([]);
    await tab.page.keyboard.press("Escape");
    await tab.drafters.waitFor({ state: "detached" });
    expect(await control.textContent()).toBe(before);
    expect(await control.evaluate((element) => element === document.activeElement)).toBe(true);
  });
});

describe("token text", () => {
  const PLACES = [
    ".text-flow .token",
    ".tt-label",
    ".token-name",
    ".decision tbody th",
    ".raw-scores tbody th",
    ".sh-drafts code",
    "textarea",
  ];

  it("has no ligatures", async () => {
    const tab = await site.open();
    await tab.page.getByText("Shadow drafters").click();
    await tab.page.getByRole("checkbox", { name: "Prompt lookup" }).check();
    await tab.run(PROMPT);
    await tab.token("0:+").click();
    await tab.details.waitFor();
    const found = await tab.page.evaluate(
      (places) =>
        places.map((place) => {
          const elements = [...document.querySelectorAll(place)];
          return [place, ...new Set(elements.map((part) => getComputedStyle(part).fontVariantLigatures))];
        }),
      PLACES,
    );
    expect(found).toEqual(PLACES.map((place) => [place, "none"]));
  });
});

describe("the layout", () => {
  /** The server's events, with a model and a warning whose names do not fit a line. */
  const longNames = (page: Page) =>
    page.routeWebSocket(/\/ws\/tokens$/, (socket) => {
      const server = socket.connectToServer();
      server.onMessage((data) => {
        const event: ServerMessage = JSON.parse(`${data}`);
        if (event.type !== "started") return socket.send(data);
        const target_model = { ...event.target_model, name: `${"a-long-name-".repeat(12)}Q4_K_M.gguf` };
        socket.send(JSON.stringify({ ...event, target_model }));
        const { run, seq, t_ms } = event;
        const message = `/${"folder".repeat(30)}/file cannot be written.`;
        socket.send(JSON.stringify({ type: "warning", run, seq, t_ms, round: 0, message, hint: "" }));
      });
    });

  it("is never wider than the window, and cuts nothing off", async () => {
    const tab = await site.open({}, longNames);
    await tab.run(PROMPT);
    await tab.token("0:0").click();
    for (const width of [1440, 1200, 1199, 1100, 1024, 900, 800, 768, 390]) {
      await tab.page.setViewportSize({ width, height: 844 });
      await settled(tab);
      const beyond = () =>
        tab.page.evaluate(() => {
          const { scrollWidth, clientWidth, scrollHeight, clientHeight } = document.documentElement;
          const parts = [
            ...document.querySelectorAll("button, select, textarea, h1, h2, h3, dd, section, svg"),
          ];
          const outside = parts.filter((part) => {
            const { left, right, width } = part.getBoundingClientRect();
            return width > 0 && (left < -1 || right > innerWidth + 1);
          });
          const main = document.querySelector("main")?.getBoundingClientRect();
          return {
            // A window of several columns shows most of them at once.
            low: innerWidth >= 800 && (main?.height ?? 0) < innerHeight / 2,
            wider: scrollWidth - clientWidth,
            // On a phone the page itself scrolls, elsewhere its parts do.
            taller: innerWidth < 800 ? 0 : scrollHeight - clientHeight,
            outside: outside.map((part) => part.outerHTML.slice(0, 120)),
          };
        });
      await expect
        .poll(beyond, { ...soon, message: `at ${width} pixels` })
        .toEqual({ low: false, wider: 0, taller: 0, outside: [] });
    }
  });
});

describe("motion", () => {
  /** The largest number of simultaneous animations while a run played in steps, without those of no duration. */
  async function mostMoving(reducedMotion: "reduce" | "no-preference"): Promise<number> {
    const tab = await site.open({ reducedMotion });
    await tab.run("once");
    await tab.page.getByLabel("Playback speed").selectOption("paced");
    await tab.scrubber.focus();
    await tab.scrubber.press("Home");
    const most = tab.page.evaluate(() => {
      return new Promise<number>((resolve) => {
        let seen = 0;
        const look = () => {
          const moving = document.getAnimations().filter(({ effect }) => {
            return Number(effect?.getComputedTiming().duration) > 1;
          });
          seen = Math.max(seen, moving.length);
          const ended = [...document.querySelectorAll("[role=status]")].some(({ textContent }) =>
            textContent.startsWith("Run "),
          );
          if (ended) resolve(seen);
          else requestAnimationFrame(look);
        };
        look();
      });
    });
    await tab.button("Play").click();
    return await most;
  }

  it("is there, and absent for users who ask for none", async () => {
    expect(await mostMoving("no-preference")).toBeGreaterThan(0);
    expect(await mostMoving("reduce")).toBe(0);
  });

  it("has no transition, however short, for users who ask for none", async () => {
    const tab = await site.open({ reducedMotion: "reduce" });
    const moving = await tab.page.evaluate(
      () =>
        [...document.querySelectorAll("*")].filter(
          (element) => getComputedStyle(element).transitionDuration !== "0s",
        ).length,
    );
    expect(moving).toBe(0);
  });
});

describe("the theme", () => {
  it("follows the system until the user chooses one, which is stored", async () => {
    const tab = await site.open({ colorScheme: "dark" });
    const theme = () => tab.page.locator("html").getAttribute("data-theme");
    const background = () =>
      tab.page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    expect(await theme()).toBe("dark");
    const dark = await background();
    await tab.page.emulateMedia({ colorScheme: "light" });
    await expect.poll(theme, soon).toBe("light");
    expect(await background()).not.toBe(dark);

    await tab.button("Theme: system").click();
    await tab.page.getByRole("menuitemradio", { name: "Dark" }).click();
    await expect.poll(theme, soon).toBe("dark");
    await tab.page.reload();
    await tab.button("Theme: dark").waitFor();
    expect(await theme()).toBe("dark");
    expect(await background()).toBe(dark);
  });
});

describe("text that is not on the screen", () => {
  it("need not be laid out, and the browser still finds it and selects it", async () => {
    const tab = await site.open({ viewport: { width: 1440, height: 560 } });
    await tab.page.getByText("Recording of a real run").waitFor();
    await tab.scrubber.focus();
    await tab.scrubber.press("End");
    const words = await tab.shownText();
    // The browser decides how far from the screen that begins.
    const block = tab.text.locator(".text-block").first();
    expect(await block.evaluate((own) => getComputedStyle(own).contentVisibility)).toBe("auto");
    const found = await tab.text.evaluate(
      (flow, first) => {
        const frame = flow.parentElement as HTMLElement;
        const atEnd = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 40;
        const selection = getSelection();
        selection?.selectAllChildren(flow);
        const selected = `${selection}`.replaceAll(/\s/g, "");
        selection?.collapse(flow, 0);
        const wasFound = (window as unknown as { find(words: string): boolean }).find(first);
        const isFound = wasFound && flow.contains(selection?.anchorNode ?? null);
        return { atEnd, selected, isFound };
      },
      words.slice(0, 12),
    );
    expect(found).toEqual({ atEnd: true, selected: words.replaceAll(/\s/g, ""), isFound: true });
  });
});

describe("a run of a thousand tokens", () => {
  const TOKENS = 1024;
  const LARGEST_DOM = 12_000;

  it("stays usable: every token in the text, and only the visible part of the tree", async () => {
    const tab = await site.open({}, lasting);
    await tab.maxTokens(TOKENS);
    const done = await tab.run(PROMPT);
    expect(done.total_tokens).toBe(TOKENS);
    expect(await tab.shownText()).toBe(done.generated_text);
    expect(await tab.text.getByRole("option").count()).toBe(TOKENS);
    const nodes = () => tab.page.evaluate(() => document.querySelectorAll(".tt *").length);
    const inTree = () => tab.tree.getByRole("treeitem").count();
    const whole = await tab.page.evaluate(() => document.querySelectorAll("*").length);
    expect(whole).toBeLessThan(LARGEST_DOM);
    expect(await inTree()).toBeGreaterThan(20);
    expect(await inTree()).toBeLessThan(TOKENS / 2);
    const last = tab.last("metrics").round;
    await tab.node(`${last}:+`).waitFor();

    await tab.tree.focus();
    await tab.tree.press("Home");
    await tab.node("0:0").waitFor();
    expect(await tab.isLit("0:0")).toBe(true);
    expect(await inTree()).toBeLessThan(TOKENS / 2);

    await tab.button("Fit the whole run").click();
    const bars = tab.tree.locator(".tt-round");
    await bars.first().waitFor();
    expect(await nodes()).toBeLessThan(LARGEST_DOM / 2);
    await bars.first().click();
    await tab.node("0:0").waitFor();
    await tab.node("0:0").click();
    await tab.details.waitFor();

    await tab.scrubber.focus();
    await tab.scrubber.press("Home");
    await tab.scrubber.press("ArrowRight");
    expect(await tab.text.getByRole("option").count()).toBeLessThanOrEqual(5);
    await tab.scrubber.press("End");
    expect(await tab.text.getByRole("option").count()).toBe(TOKENS);
  });
});
