import { cleanup, render } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { started } from "../../testing/messages";
import { ModelFacts } from "./ModelFacts";

afterEach(cleanup);

const model = started().target_model;
const times = [
  { runtime: "llama.cpp", rows: 1, ms: 33.2 },
  { runtime: "ik_llama.cpp", rows: 1, ms: 31.7 },
];
const chosen = { ...model, runtime: "ik_llama.cpp", choice: { reason: "one row takes 31.7 ms", times } };

/** The cells of each row, by its heading. */
const cells = () =>
  Object.fromEntries(
    [...document.querySelectorAll("tbody tr")].map((row) => {
      const [heading, ...values] = [...row.children].map((cell) => cell.textContent);
      return [heading, values];
    }),
  );

describe("facts of the models", () => {
  it("state why a runtime was chosen, and the passes that were compared", () => {
    render(<ModelFacts models={[model, chosen]} remote={null} />);
    expect(cells()).toMatchObject({
      Runtime: ["toy", "ik_llama.cpp"],
      "Chosen because": ["given by its name or a setting", "one row takes 31.7 ms"],
      "Timed passes": ["none", "llama.cpp: 33 ms for 1 row; ik_llama.cpp: 32 ms for 1 row"],
    });
  });

  it("have no reasons where names and settings decided", () => {
    render(<ModelFacts models={[model]} remote={null} />);
    expect(Object.keys(cells())).not.toContain("Chosen because");
    expect(cells()).toMatchObject({ Runtime: ["toy"], "Computes on": ["nothing"] });
  });
});
