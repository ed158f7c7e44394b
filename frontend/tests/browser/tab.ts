// One tab: the actions of a user, and the messages of the socket.
import type { Locator, Page, WebSocket } from "playwright-core";
import { expect } from "vitest";
import type { ClientMessage, ServerMessage } from "../../src/protocol/generated";

type OfType<T extends ServerMessage["type"]> = Extract<ServerMessage, { type: T }>;

export const DEADLINE_MS = 90_000;
/** Polls until something becomes true. The time is not tested. */
export const soon = { timeout: DEADLINE_MS, interval: 40 };

export class Tab {
  readonly received: ServerMessage[] = [];
  readonly sent: ClientMessage[] = [];
  /** Errors and warnings of the browser's console and network. */
  readonly problems: string[] = [];
  readonly prompt: Locator;
  readonly text: Locator;
  readonly tree: Locator;
  readonly details: Locator;
  readonly scrubber: Locator;

  constructor(readonly page: Page) {
    this.prompt = page.getByRole("textbox", { name: "Prompt" });
    this.text = page.getByRole("listbox", { name: /^Generated tokens/ });
    this.tree = page.getByRole("tree");
    this.details = page.getByRole("complementary", { name: "Token details" });
    this.scrubber = page.getByRole("slider", { name: "Round shown" });
    page.on("websocket", (socket) => this.listen(socket));
    page.on("pageerror", (error) => this.problems.push(`${error}`));
    page.on("requestfailed", (request) => this.problems.push(`${request.url()} failed`));
    page.on("response", (answer) => {
      if (answer.status() >= 400) this.problems.push(`${answer.url()} answered ${answer.status()}`);
    });
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.problems.push(message.text());
    });
  }

  private listen(socket: WebSocket): void {
    if (!socket.url().endsWith("/ws/tokens")) return;
    socket.on("framesent", ({ payload }) => this.sent.push(JSON.parse(`${payload}`)));
    socket.on("framereceived", ({ payload }) => this.received.push(JSON.parse(`${payload}`)));
  }

  async goTo(url: string): Promise<void> {
    await this.page.goto(url);
    await this.page.getByRole("main").waitFor();
    // A choice, which the recording does not replace; a click on the part that is shown would be none.
    await this.part("Text");
    await this.part("Prompt");
    await this.button("Generate").waitFor();
    await expect.poll(() => this.button("Generate").getAttribute("aria-disabled"), soon).toBe("false");
  }

  button(name: string | RegExp): Locator {
    return this.page.getByRole("button", { name });
  }

  /** The open list of drafters. */
  get drafters(): Locator {
    return this.page.getByRole("listbox", { name: "Drafters" });
  }

  region(name: string): Locator {
    return this.page.getByRole("region", { name, exact: true });
  }

  // --- actions of a user ---------------------------------------------------------------------------

  /** Shows a part of the page on a phone; elsewhere all are shown. */
  async part(name: "Prompt" | "Tree" | "Text" | "Figures"): Promise<void> {
    const part = this.page.getByRole("radio", { name, exact: true });
    if (await part.isVisible()) await part.click();
  }

  /** Moves a slider to `steps` above its lowest value, with the keyboard. */
  async slide(name: string, steps: number): Promise<void> {
    const thumb = this.page.getByRole("slider", { name, exact: true });
    await thumb.focus();
    await thumb.press("Home");
    for (let ten = 0; ten < Math.floor(steps / 10); ten += 1) await thumb.press("PageUp");
    for (let one = 0; one < steps % 10; one += 1) await thumb.press("ArrowRight");
  }

  /** Moves from the focused radio button to this one with an arrow key, and chooses it. */
  async arrowTo(radio: Locator, key: "ArrowLeft" | "ArrowRight"): Promise<void> {
    await this.page.keyboard.press(key);
    await expect.poll(() => radio.evaluate((own) => own === document.activeElement), soon).toBe(true);
    await this.page.keyboard.press("Space");
    await expect.poll(() => radio.isChecked(), soon).toBe(true);
  }

  /** Chooses a drafter by its title. */
  async drafter(title: string): Promise<void> {
    await this.page.getByRole("combobox", { name: "Drafter", exact: true }).click();
    await this.drafters.getByRole("option", { name: new RegExp(`^${title} `) }).click();
  }

  async depth(k: number): Promise<void> {
    await this.slide("Depth K", k - 1);
  }

  async temperature(value: number): Promise<void> {
    await this.slide("Temperature", Math.round(value / 0.05));
  }

  async maxTokens(count: number): Promise<void> {
    await this.slide("Max tokens", (count - 64) / 16);
  }

  async generate(prompt: string): Promise<void> {
    await this.part("Prompt");
    await this.prompt.fill(prompt);
    await this.button("Generate").click();
  }

  /** Clicks and waits for the end of the run, in the messages and on the page. */
  async run(prompt: string): Promise<OfType<"done">> {
    const runs = this.ofType("done").length;
    await this.generate(prompt);
    await expect.poll(() => this.ofType("done").length, soon).toBe(runs + 1);
    await this.announced(/^Run /).waitFor({ state: "attached" });
    return this.last("done");
  }

  announced(words: RegExp): Locator {
    return this.page.getByRole("status").filter({ hasText: words });
  }

  notice(words: string | RegExp): Locator {
    return this.page.getByRole("alert", { name: "Notices" }).getByText(words);
  }

  // --- messages ----------------------------------------------------------------------------------

  ofType<T extends ServerMessage["type"]>(type: T): OfType<T>[] {
    return this.received.filter((message): message is OfType<T> => message.type === type);
  }

  last<T extends ServerMessage["type"]>(type: T): OfType<T> {
    const message = this.ofType(type).at(-1);
    if (!message) throw new Error(`No ${type} message came.`);
    return message;
  }

  /** Waits until `count` messages of a type have come. */
  async until(type: ServerMessage["type"], count = 1): Promise<void> {
    await expect.poll(() => this.ofType(type).length, soon).toBeGreaterThanOrEqual(count);
  }

  // --- the page -------------------------------------------------------------------------

  /** The text, without the marks of tokens that have no text of their own. */
  async shownText(): Promise<string> {
    return this.text.evaluate((element) => {
      const copy = element.cloneNode(true) as HTMLElement;
      for (const sign of copy.querySelectorAll(".token-empty, .token-undecided")) sign.remove();
      return copy.textContent;
    });
  }

  token(key: string): Locator {
    return this.text.locator(`[data-key="${key}"]`);
  }

  node(key: string): Locator {
    return this.tree.locator(`[role="treeitem"][data-key="${key}"]`);
  }

  /** Whether the tree highlights this token. */
  async isLit(key: string): Promise<boolean> {
    return this.node(key).evaluate((node) => node.parentElement?.classList.contains("is-lit") === true);
  }

  async focused(): Promise<string> {
    return this.page.evaluate(
      () => document.activeElement?.getAttribute("data-key") ?? document.activeElement?.tagName ?? "",
    );
  }

  async table(caption: string | RegExp): Promise<string[][]> {
    const rows = this.page.getByRole("table", { name: caption }).locator("tbody tr");
    return rows.evaluateAll((all) =>
      all.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent)),
    );
  }
}
