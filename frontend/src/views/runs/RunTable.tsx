// The list of runs: a table, on a phone one block a run.
import type { StoredRun } from "../../protocol/generated";
import { type RunActions, RunRow } from "./RunRow";

interface Props extends RunActions {
  readonly runs: readonly StoredRun[];
  /** Ids of the runs to compare. */
  readonly chosen: readonly string[];
}

export function RunTable({ runs, chosen, ...actions }: Props) {
  return (
    <table className="run-table">
      <caption className="sr-only">Kept runs, the newest first. Choose two to compare them.</caption>
      <thead>
        <tr>
          <th scope="col">
            <span className="sr-only">Compare</span>
          </th>
          <th scope="col">Run</th>
          <th scope="col">When</th>
          <th scope="col">Draft</th>
          <th scope="col" className="is-number">
            Tokens
          </th>
          <th scope="col" className="is-number">
            Accepted
          </th>
          <th scope="col" className="is-number">
            Speedup
          </th>
          <th scope="col">End</th>
          <th scope="col">
            <span className="sr-only">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {runs.map((run) => (
          <RunRow key={run.id} run={run} chosen={chosen.includes(run.id)} {...actions} />
        ))}
      </tbody>
    </table>
  );
}
