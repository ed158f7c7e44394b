// The list of requests: a table, on a phone one block a request.
import { type MouseEvent, memo } from "react";
import { goToAddress, runAddress } from "../../app/places";
import type { TrafficRun } from "../../protocol/generated";
import { moment } from "../../words/runs";
import {
  figuresOf,
  requestTitle,
  sharedWords,
  speculationWords,
  stateHelp,
  stateWords,
  watchedWords,
} from "../../words/traffic";

const HEADS = ["Prompt", "Tokens", "Tokens/round", "Accepted", "First token", "Tokens/s"] as const;

export function TrafficTable({ runs }: { runs: readonly TrafficRun[] }) {
  const keys = runs.some(({ key }) => key !== null);
  return (
    <table className="traffic-table">
      <caption className="sr-only">
        Requests, the newest first. Prompt: its length in tokens. First token: from the request, waiting
        included.
      </caption>
      <thead>
        <tr>
          <th scope="col">Request</th>
          <th scope="col">State</th>
          <th scope="col">When</th>
          <th scope="col">Model</th>
          {HEADS.map((head) => (
            <th key={head} scope="col" className="is-number">
              {head}
            </th>
          ))}
          <th scope="col">Speculation</th>
          <th scope="col">Shared with</th>
          {keys && <th scope="col">Key</th>}
        </tr>
      </thead>
      <tbody>
        {runs.map((run) => (
          <TrafficRow key={run.run} run={run} keys={keys} />
        ))}
      </tbody>
    </table>
  );
}

/** A row is rendered again only if its run has changed. */
const TrafficRow = memo(function TrafficRow({ run, keys }: { run: TrafficRun; keys: boolean }) {
  const watched = watchedWords(run);
  return (
    <tr data-state={run.state}>
      <th scope="row" className="traffic-request">
        <Request run={run} />
        {watched !== null && <span className="traffic-note">{watched}</span>}
      </th>
      <td className="traffic-of-state" title={stateHelp(run)}>
        {stateWords(run)}
        {run.failure !== null && <span className="traffic-note">{run.failure}</span>}
      </td>
      <td data-label="when">{moment(run.created_ms)}</td>
      <td data-label="model">{run.summary?.target ?? "–"}</td>
      {figuresOf(run).map(({ label, value }) => (
        <td key={label} data-label={label} className="is-number">
          {value}
        </td>
      ))}
      <td data-label="speculation">{speculationWords(run)}</td>
      <td data-label="shared with">{sharedWords(run)}</td>
      {keys && <td data-label="key">{run.key ?? "–"}</td>}
    </tr>
  );
});

function Request({ run }: { run: TrafficRun }) {
  const title = requestTitle(run);
  if (!run.kept || run.summary === null) return <span title={title}>{title}</span>;
  const address = runAddress(run.run);
  const open = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    goToAddress(address);
  };
  return (
    <a href={address} onClick={open} title={title}>
      {title}
    </a>
  );
}
