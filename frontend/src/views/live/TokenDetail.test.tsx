import { cleanup, render, screen, within } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { Store } from "../../app/store";
import { StoreContext } from "../../app/useStore";
import type { PlanInfo } from "../../protocol/generated";
import { emptyRun, reduceAll } from "../../run/reducer";
import { tokenByKey } from "../../run/selectors";
import { FakeEnvironment } from "../../testing/environment";
import { metrics, roundOf, started } from "../../testing/messages";
import { PLAN } from "../../testing/runs";
import { TokenDetail } from "./TokenDetail";

afterEach(cleanup);

function show(plan: PlanInfo | null, isOver = true) {
  const round = roundOf(4, ["a", "b"], 1, "c").slice(0, -1);
  const end = isOver ? [metrics(4, 2, { round_emitted: 2, round_ms: 35, plan })] : [];
  const run = reduceAll(emptyRun, [started({ policy: "auto", k: 12 }), ...round, ...end]);
  const token = tokenByKey(run, "4:0");
  if (!token) throw new Error("missing");
  render(
    <StoreContext value={new Store(new FakeEnvironment())}>
      <TokenDetail run={run} token={token} />
    </StoreContext>,
  );
}
const plan = () => screen.queryByRole("region", { name: "Plan of round 5" });

it("has the plan of the token's round, expected and measured", () => {
  show(PLAN);
  const terms = within(plan() as HTMLElement).getAllByRole("term");
  expect(terms.map(({ textContent }) => textContent)).toEqual(["expected", "measured"]);
  expect(plan()?.textContent).toMatch(
    /Plain decoding would give 1\.0 in 1\.0\..*The draft ended after 2 of 3 tokens, 2 emitted in 35\u00a0ms\.$/,
  );
});

it("has none for a round without one, or that is not over", () => {
  show(null);
  expect(plan()).toBeNull();
  cleanup();
  show(PLAN, false);
  expect(plan()).toBeNull();
});
