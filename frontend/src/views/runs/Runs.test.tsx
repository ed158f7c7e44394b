import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Store } from "../../app/store";
import { StoreContext } from "../../app/useStore";
import type { AcceptanceAnatomy, StoredRun } from "../../protocol/generated";
import { traceText } from "../../run/recording";
import { emptyRun, reduceAll } from "../../run/reducer";
import { summaryOf } from "../../run/summary";
import anatomy from "../../testing/anatomy.json";
import { FakeEnvironment } from "../../testing/environment";
import { done, started } from "../../testing/messages";
import { Runs } from "./Runs";

const summary = summaryOf(reduceAll(emptyRun, [started(), done()]), String);
if (!summary) throw new Error("A run that started has a summary.");
const run = (id: string): StoredRun => ({
  id,
  created_ms: 0,
  name: null,
  prompt: `prompt of ${id}`,
  trace_bytes: 5,
  summary,
});
/** Of the recorded run, as the server computes it. */
const recordedAnatomy = anatomy as unknown as AcceptanceAnatomy;
const HEADER = { created: "", machine: "m", speculatoviz: "1" };

/** A server with runs. `failing`: it answers every request but the first list with an error. */
class FakeServer {
  runs = ["a", "b", "c"].map(run);
  failing = false;
  asked: string[] = [];

  readonly fetch = async (path: string, { method = "GET", body = "{}" }: RequestInit = {}) => {
    const { pathname, searchParams } = new URL(path, "http://here");
    this.asked.push(`${method} ${pathname}`);
    const id = pathname.split("/")[3] ?? "";
    if (this.failing) {
      return Response.json({ message: "The store is full.", hint: "Make room." }, { status: 503 });
    }
    if (method === "DELETE") {
      this.runs = this.runs.filter((one) => one.id !== id);
      return new Response(null, { status: 204 });
    }
    if (method === "PATCH") {
      const { name } = JSON.parse(`${body}`) as { name: string };
      this.runs = this.runs.map((one) => (one.id === id ? { ...one, name } : one));
      return Response.json(this.runs.find((one) => one.id === id));
    }
    if (pathname === "/api/runs/acceptance") {
      return Response.json({ ...recordedAnatomy, runs: this.page(searchParams).runs.length });
    }
    if (pathname.endsWith("/trace")) {
      return new Response(traceText(HEADER, [started(), done({ generated_text: `text of ${id}` })]));
    }
    return Response.json(this.page(searchParams));
  };

  private page(query: URLSearchParams) {
    const found = this.runs.filter(({ prompt }) => prompt.includes(query.get("containing") ?? ""));
    const from = query.has("after") ? found.findIndex(({ id }) => id === query.get("after")) + 1 : 0;
    const runs = found.slice(from, from + 2);
    return { kept: true, runs, after: from + 2 < found.length ? runs.at(-1)?.id : null };
  }
}

let server: FakeServer;

beforeEach(() => {
  server = new FakeServer();
  vi.stubGlobal("fetch", server.fetch);
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const titles = () => screen.getAllByRole("rowheader").map((cell) => cell.textContent);

async function shown(): Promise<void> {
  render(
    <StoreContext value={new Store(new FakeEnvironment())}>
      <Runs />
    </StoreContext>,
  );
  await screen.findByText("prompt of a");
}

async function act(title: string, action: string): Promise<void> {
  fireEvent.keyDown(screen.getByRole("button", { name: `Actions for ${title}` }), { key: "Enter" });
  fireEvent.click(await screen.findByRole("menuitem", { name: action }));
}

describe("the list of runs", () => {
  it("continues where it ended, and searches anew", async () => {
    await shown();
    expect(titles()).toEqual(["prompt of a", "prompt of b"]);
    fireEvent.click(screen.getByRole("button", { name: "Show more" }));
    await screen.findByText("prompt of c");
    expect(titles()).toEqual(["prompt of a", "prompt of b", "prompt of c"]);
    fireEvent.change(screen.getByRole("searchbox"), { target: { value: "of b" } });
    await waitFor(() => expect(titles()).toEqual(["prompt of b"]));
    fireEvent.change(screen.getByRole("searchbox"), { target: { value: "nowhere" } });
    await screen.findByText("No run contains this.");
  });

  it("shows a sweep, which is in its own folder and cannot be opened, compared or saved here", async () => {
    const sweep = {
      folder: "/sweeps/one",
      prompts: 12,
      choices: 9,
      runs: 130,
      temperatures: [0],
      best: "eagle, k 4",
      low: 1.2,
      high: 1.9,
      answer: "Speculation pays.",
    };
    server.runs = [run("a"), { ...run("s"), summary: { ...summary, sweep } }];
    await shown();
    expect(screen.getByText("best of 9 choices: eagle, k 4")).toBeTruthy();
    expect(screen.getByTitle("Speculation pays.").textContent).toBe("prompt of s");
    expect(screen.getAllByRole("link", { name: /prompt of/ })).toHaveLength(1);
    expect(screen.getAllByRole("checkbox")).toHaveLength(1);
    fireEvent.keyDown(screen.getByRole("button", { name: "Actions for prompt of s" }), { key: "Enter" });
    await screen.findByRole("menuitem", { name: "Rename" });
    expect(screen.queryByRole("menuitem", { name: "Save the trace" })).toBeNull();
  });

  it("renames a run, and keeps its name after Escape", async () => {
    await shown();
    await act("prompt of a", "Rename");
    const field = await screen.findByRole("textbox", { name: "Name of prompt of a" });
    fireEvent.change(field, { target: { value: "best" } });
    fireEvent.keyDown(field, { key: "Enter" });
    await screen.findByRole("link", { name: "best" });
    await act("best", "Rename");
    const again = await screen.findByRole("textbox", { name: "Name of best" });
    fireEvent.change(again, { target: { value: "worst" } });
    fireEvent.keyDown(again, { key: "Escape" });
    await screen.findByRole("link", { name: "best" });
    expect(server.asked.filter((request) => request.startsWith("PATCH"))).toEqual(["PATCH /api/runs/a"]);
  });

  it("deletes a run only after it asked", async () => {
    await shown();
    await act("prompt of a", "Delete…");
    const dialog = await screen.findByRole("alertdialog");
    expect(dialog.textContent).toContain("prompt of a");
    fireEvent.click(within(dialog).getByRole("button", { name: "Keep" }));
    await waitFor(() => expect(screen.queryByRole("alertdialog")).toBeNull());
    expect(server.runs).toHaveLength(3);
    await act("prompt of a", "Delete…");
    fireEvent.click(within(await screen.findByRole("alertdialog")).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(titles()).toEqual(["prompt of b"]));
    expect(server.runs.map(({ id }) => id)).toEqual(["b", "c"]);
  });

  it("shows what went wrong, and keeps the list", async () => {
    await shown();
    server.failing = true;
    fireEvent.click(screen.getByRole("button", { name: "Show more" }));
    await screen.findByText("The store is full.");
    expect(screen.getByRole("alert").textContent).toContain("Make room.");
    expect(titles()).toEqual(["prompt of a", "prompt of b"]);
    fireEvent.click(screen.getByRole("button", { name: "Dismiss" }));
    expect(screen.queryByText("The store is full.")).toBeNull();
  });

  it("puts two runs side by side, with the first difference of their texts", async () => {
    await shown();
    fireEvent.click(screen.getByRole("checkbox", { name: "Compare prompt of a" }));
    expect(screen.queryByRole("region")).toBeNull();
    fireEvent.click(screen.getByRole("checkbox", { name: "Compare prompt of b" }));
    const compared = await screen.findByRole("region", { name: "Two runs side by side" });
    await within(compared).findByText("The texts are equal for 8 characters.");
    fireEvent.click(within(compared).getByRole("button", { name: "Close the comparison" }));
    expect(screen.queryByRole("region", { name: "Two runs side by side" })).toBeNull();
  });

  it("breaks acceptance down, and shows the tokens of a row in their text", async () => {
    await shown();
    fireEvent.click(screen.getByRole("button", { name: "Acceptance over these runs" }));
    const region = await screen.findByRole("region", { name: "Acceptance over these runs" });
    expect(within(region).getByText(/tested tokens of 2 runs, [\d.]+ % accepted\./)).toBeTruthy();
    expect(within(region).getAllByRole("figure")).toHaveLength(4);
    const row = within(region).getByRole("button", {
      name: /^1 [\d.]+ % of \d+ accepted \d+ of \d+; 95 % interval/,
    });
    fireEvent.click(row);
    const examples = within(screen.getByRole("region", { name: "Tokens in their text" }));
    const [first] = examples.getAllByRole("link");
    expect(first?.getAttribute("href")).toMatch(/^\/runs\/cli\?round=\d+&token=\d+$/);
    expect(examples.getAllByText(/^rejected; the text has /).length).toBeGreaterThan(0);
    expect(first?.querySelector("mark")?.textContent).not.toBe("");
    fireEvent.click(row);
    expect(screen.queryByRole("region", { name: "Tokens in their text" })).toBeNull();
  });

  it("states why acceptance cannot be read", async () => {
    await shown();
    server.failing = true;
    fireEvent.click(screen.getByRole("button", { name: "Acceptance over these runs" }));
    await screen.findByText("The store is full.");
  });
});
