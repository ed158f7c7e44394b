// Figures saved as SVG and PNG: complete outside of the page, with a title and the origin of their numbers.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TOY } from "./server";
import { siteWith } from "./site";
import { soon, type Tab } from "./tab";

const site = siteWith(TOY);
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "figures-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function saved(tab: Tab, title: string, format: "SVG" | "PNG"): Promise<string> {
  const download = tab.page.waitForEvent("download");
  await tab.button(`Save the figure ${title}`).click();
  await tab.page.getByRole("menuitem", { name: `Save as ${format}` }).click();
  const file = join(folder, (await download).suggestedFilename());
  await (await download).saveAs(file);
  return file;
}

/** What a browser that knows only the file shows of it: its size, its words, and how many colours it has. */
async function outside(tab: Tab, file: string): Promise<{ width: number; colours: number }> {
  const data = (await readFile(file)).toString("base64");
  const type = file.endsWith(".svg") ? "svg+xml" : "png";
  return tab.page.evaluate(async (address) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context?.drawImage(image, 0, 0);
    const pixels = context?.getImageData(0, 0, canvas.width, canvas.height).data ?? new Uint8ClampedArray();
    const colours = new Set<number>();
    for (let at = 0; at < pixels.length; at += 4)
      colours.add(((pixels[at] ?? 0) << 16) | ((pixels[at + 1] ?? 0) << 8) | (pixels[at + 2] ?? 0));
    return { width: image.naturalWidth, colours: colours.size };
  }, `data:image/${type};base64,${data}`);
}

it("are whole without the page, with title and origin", async () => {
  const tab = await site.open({ colorScheme: "light" });
  await tab.button("Skip").click();
  await tab.page.keyboard.press("End");
  await tab.region("Tokens per second").waitFor();
  for (const title of [
    "Tokens per second",
    "Latency per round, ms",
    "Acceptance by position",
    "Token efficiency",
  ]) {
    const svg = await saved(tab, title, "SVG");
    const text = await readFile(svg, "utf8");
    const read = await tab.page.evaluate((xml) => {
      const found = new DOMParser().parseFromString(xml, "image/svg+xml");
      const words = [...found.querySelectorAll("text")].map(({ textContent }) => textContent).join(" ");
      return { error: found.querySelector("parsererror")?.textContent ?? null, words };
    }, text);
    expect(read.error).toBeNull();
    expect(read.words).toContain(title);
    expect(read.words).toContain("qwen2.5-coder-1.5b");
    expect(read.words).toMatch(/recorded \d+ November 2026/);
    expect(text).not.toMatch(/var\(|color-mix|class=|foreignObject|href=/);
    expect(text.match(/https?:\/\/[^"]+/g)?.every((url) => url === "http://www.w3.org/2000/svg")).toBe(true);
    const drawn = await outside(tab, svg);
    const png = await outside(tab, await saved(tab, title, "PNG"));
    expect(png.width).toBe(2 * drawn.width);
    expect(Math.min(drawn.colours, png.colours)).toBeGreaterThan(10);
  }
  expect(tab.problems).toEqual([]);
});

it("are reached with the arrow keys, without a tab stop of their own", async () => {
  const tab = await site.open();
  await tab.button("Skip").click();
  await tab.page.keyboard.press("End");
  const menu = tab.button("Save the figure Tokens per second");
  await menu.waitFor();
  const before = tab.region("Tokens per second").getByRole("button").first();
  await before.focus();
  for (let press = 0; press < 6; press += 1) {
    if (await menu.evaluate((own) => own === document.activeElement)) break;
    await tab.page.keyboard.press("ArrowRight");
  }
  expect(await menu.evaluate((own) => own === document.activeElement)).toBe(true);
  await tab.page.keyboard.press("Enter");
  await tab.page.getByRole("menuitem", { name: "Save as SVG" }).waitFor();
  await tab.page.keyboard.press("Escape");
  await expect.poll(() => menu.evaluate((own) => own === document.activeElement), soon).toBe(true);
});

it("are saved from Learn as well", async () => {
  const tab = await site.open();
  await tab.page.waitForLoadState("networkidle");
  await tab.page.goto(`${site.server.url}/learn#speedup`);
  const text = await readFile(await saved(tab, "Speedup against k", "SVG"), "utf8");
  expect(text).toContain("Hatched is computed");
  expect(text).toContain("<pattern");
});

it("of the tree show its visible tokens with their legend, also while a canvas draws them", async () => {
  const tab = await site.open({ colorScheme: "light" });
  await tab.button("Skip").click();
  await tab.page.keyboard.press("End");
  await tab.tree.getByRole("treeitem").first().waitFor();
  const seen = () =>
    tab.tree.evaluate((view) => {
      const { top, bottom } = view.getBoundingClientRect();
      const isSeen = ({ top: y, bottom: end }: DOMRect) => y > top && end < bottom;
      const all = [...view.querySelectorAll(".tt-label")];
      return all.filter((label) => isSeen(label.getBoundingClientRect())).map((label) => label.textContent);
    });
  let file = "";
  let text = "";
  // The tree scrolls to its end: what is seen and what is saved are alike once it is there.
  await expect
    .poll(async () => {
      const labels = await seen();
      file = await saved(tab, "Token tree", "SVG");
      text = await readFile(file, "utf8");
      const words = await tab.page.evaluate((xml) => {
        const found = new DOMParser().parseFromString(xml, "image/svg+xml");
        return [...found.querySelectorAll("text")].map(({ textContent }) => textContent);
      }, text);
      const missing = [...labels, "accepted", "rejected"].filter((word) => !words.includes(word));
      return labels.length > 5 ? missing : ["labels"];
    }, soon)
    .toEqual([]);
  // Nodes lie where the style sheet moves them, not all in one corner.
  const places = new Set(text.match(/transform="matrix\([^"]*"/g));
  expect(places.size).toBeGreaterThan(5);
  const drawn = await outside(tab, file);
  const png = await outside(tab, await saved(tab, "Token tree", "PNG"));
  expect(png.width).toBe(2 * drawn.width);
  expect(Math.min(drawn.colours, png.colours)).toBeGreaterThan(10);

  await tab.page.keyboard.press("Home");
  await tab.button("Play").click();
  await tab.tree.locator("canvas").waitFor();
  const moving = await readFile(await saved(tab, "Token tree", "SVG"), "utf8");
  expect(moving.match(/transform="matrix\(/g)?.length).toBeGreaterThan(2);
  expect(tab.problems).toEqual([]);
});
