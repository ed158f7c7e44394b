// The requests that were refused: one row for all that are alike.
import type { RefusedRequests } from "../../protocol/generated";
import { whole } from "../../words/format";
import { moment } from "../../words/runs";
import { REFUSED_LEAD, refusedId } from "../../words/traffic";

export function RefusedTable({ groups }: { groups: readonly RefusedRequests[] }) {
  const keys = groups.some(({ key }) => key !== null);
  return (
    <section aria-labelledby="refused-title">
      <h2 id="refused-title">Refused</h2>
      <p className="traffic-lead">{REFUSED_LEAD}</p>
      <table className="traffic-table traffic-refused">
        <caption className="sr-only">Refused requests, those that came last first.</caption>
        <thead>
          <tr>
            <th scope="col">Reason</th>
            <th scope="col" className="is-number">
              Status
            </th>
            <th scope="col" className="is-number">
              Requests
            </th>
            <th scope="col">Last</th>
            <th scope="col">First</th>
            <th scope="col">Route</th>
            <th scope="col">Client</th>
            {keys && <th scope="col">Key</th>}
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <tr key={refusedId(group)}>
              <th scope="row" className="traffic-reason">
                {group.reason}
              </th>
              <td data-label="status" className="is-number">
                {group.status}
              </td>
              <td data-label="requests" className="is-number">
                {whole(group.count)}
              </td>
              <td data-label="last">{moment(group.last_ms)}</td>
              <td data-label="first">{moment(group.first_ms)}</td>
              <td data-label="route">{group.route ?? "none"}</td>
              <td data-label="client">{group.client ?? "unknown"}</td>
              {keys && <td data-label="key">{group.key ?? "–"}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
