import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Store } from "../../app/store";
import { TrafficStore } from "../../app/traffic";
import { StoreContext } from "../../app/useStore";
import { TrafficContext } from "../../app/useTraffic";
import { FakeEnvironment } from "../../testing/environment";
import { refusedRequests, trafficNews, trafficRun, trafficSummary } from "../../testing/traffic";
import { Traffic } from "./Traffic";

let environment: FakeEnvironment;
beforeEach(() => {
  environment = new FakeEnvironment();
});
afterEach(cleanup);

async function shown() {
  const traffic = new TrafficStore(environment);
  render(
    <StoreContext value={new Store(environment)}>
      <TrafficContext value={traffic}>
        <Traffic />
      </TrafficContext>
    </StoreContext>,
  );
  await act(async () => undefined);
  return traffic;
}
const receive = (...news: Parameters<typeof trafficNews>) =>
  act(() => environment.events?.onTraffic?.(trafficNews(...news)));
const row = (name: string) => screen.getByRole("row", { name: new RegExp(`^${name} `) });

describe("Traffic", () => {
  it("follows the requests without their prompts, and asks for them only by the reader's wish", async () => {
    await shown();
    expect(environment.sent).toEqual([{ type: "follow", prompts: false }]);
    receive([trafficRun("cmpl-1-0")], true);
    expect(screen.getByRole("link", { name: "cmpl-1-0" }).getAttribute("href")).toBe("/runs/cmpl-1-0");
    fireEvent.click(screen.getByRole("checkbox", { name: "Show the beginning of each prompt" }));
    expect(environment.sent.at(-1)).toEqual({ type: "follow", prompts: true });
    receive([trafficRun("cmpl-1-0", { prompt: "once upon" })], true);
    expect(screen.getByRole("link", { name: "once upon" })).toBeTruthy();
  });

  it("shows each request in a table, as it changes", async () => {
    await shown();
    expect(screen.getByRole("status").textContent).toBe("The list is loading.");
    receive([], true);
    expect(screen.getByRole("status").textContent).toContain("No request has come");
    receive([trafficRun("a", { state: "queued", place: 2, summary: null, kept: false })]);
    expect(within(row("a")).getByRole("cell", { name: "queued, place 2" })).toBeTruthy();
    expect(screen.queryByRole("link", { name: "a" })).toBeNull();
    receive([trafficRun("a")]);
    expect(
      within(row("a"))
        .getAllByRole("cell")
        .map((cell) => cell.textContent),
    ).toEqual(
      expect.arrayContaining([
        "decoding",
        "qwen",
        "30",
        "3.00",
        "50 %",
        "150 ms",
        "21.5",
        "small, k 4, fixed",
        "alone",
      ]),
    );
    expect(screen.getByRole("status").textContent).toBe("1 request: 1 decoding.");
    receive([trafficRun("a", { state: "failed", failure: "The run failed." })]);
    expect(row("a").textContent).toContain("The run failed.");
    expect(screen.getByRole("columnheader", { name: "State" })).toBeTruthy();
  });

  it("names keys only where there are some, and where a watched request was computed", async () => {
    await shown();
    receive([trafficRun("a")], true);
    expect(screen.queryByRole("columnheader", { name: "Key" })).toBeNull();
    const watched = {
      server: "http://h:1",
      route: "/v1/completions",
      engine: "vLLM",
      status: 200,
      streamed: true,
    };
    receive([
      trafficRun("b", { key: "laptop" }),
      trafficRun("watch-1", { summary: trafficSummary({ watched }) }),
    ]);
    expect(screen.getByRole("columnheader", { name: "Key" })).toBeTruthy();
    expect(row("watch-1").textContent).toContain("watched, vLLM at http://h:1");
  });

  it("lists refused requests apart, one row for all that are alike, and keeps them until others come", async () => {
    await shown();
    receive([], true, []);
    expect(screen.queryByRole("heading", { name: "Refused" })).toBeNull();
    const busy = refusedRequests({
      status: 429,
      code: "busy",
      reason: "8 runs wait.",
      client: null,
      route: null,
    });
    receive([], false, [refusedRequests({ count: 1200, key: "laptop" }), busy]);
    expect(screen.getByRole("status").textContent).toContain("No request has become a run");
    const table = screen.getByRole("table", { name: /Refused requests/ });
    const cells = () =>
      within(table)
        .getAllByRole("row")
        .slice(1)
        .map((each) =>
          within(each)
            .getAllByRole("cell")
            .map((cell) => cell.textContent),
        );
    const [first, second] = cells();
    expect(first).toEqual(expect.arrayContaining(["429", "3", "none", "unknown", "–"]));
    expect(second).toEqual(expect.arrayContaining(["401", "/v1/chat/completions", "curl", "laptop"]));
    expect(second?.[1]).toMatch(/^1.?200$/);
    receive([trafficRun("a")]);
    expect(cells()).toHaveLength(2);
    expect(row("a")).toBeTruthy();
    receive([], false, [busy]);
    expect(cells()).toHaveLength(1);
  });

  it("says that the server is gone, asks again when it is back, and ends with the place", async () => {
    const traffic = await shown();
    receive([trafficRun("a")], true);
    act(() => environment.events?.onStatus("reconnecting"));
    expect(screen.getByRole("status").textContent).toContain("cannot be reached");
    expect(row("a")).toBeTruthy();
    act(() => environment.events?.onStatus("connected"));
    expect(environment.sent).toHaveLength(2);
    cleanup();
    expect(traffic.get().runs).toBeNull();
  });
});
