// The raw scores of target and draft for the same tokens: temperature 1, no filters. The rule does not use them.
import type { TopToken } from "../../protocol/generated";
import type { Token } from "../../run/model";
import { HelpTooltip } from "../../ui/HelpTooltip";
import { DASH, percent, probability, shown } from "../../words/format";

const HELP =
  "The models' own probabilities at temperature 1, before any filter. The rule uses the picture above, not these.";

interface Row {
  readonly id: number;
  readonly label: string;
  readonly target: number | null;
  readonly draft: number | null;
}

/** Tokens of either list, in the order of the larger probability. A dash means that it is not among the best there. */
export function rawRows(target: readonly TopToken[], draft: readonly TopToken[]): Row[] {
  const of = (list: readonly TopToken[], id: number) =>
    probability(list.find((top) => top.token_id === id)?.logprob);
  const labels = new Map([...target, ...draft].map((top) => [top.token_id, top.token]));
  const rows = [...labels].map(([id, label]) => ({
    id,
    label,
    target: of(target, id),
    draft: of(draft, id),
  }));
  const largest = (row: Row) => Math.max(row.target ?? 0, row.draft ?? 0);
  return rows.toSorted((a, b) => largest(b) - largest(a));
}

export function RawScores({ token, draft }: { token: Token; draft: readonly TopToken[] }) {
  const rows = rawRows(token.verdict?.target_top_tokens ?? [], draft);
  if (rows.length === 0) return null;
  return (
    <section aria-label="Raw scores" data-status={token.status}>
      <h3 className="mb-1 text-[12px] font-medium text-soft">
        <HelpTooltip help={HELP}>Raw scores</HelpTooltip>, before temperature and filters
      </h3>
      <table className="raw-scores">
        <thead>
          <tr>
            <th scope="col">token</th>
            <th scope="col">target</th>
            <th scope="col">draft</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.id} data-chosen={row.id === token.tokenId || undefined}>
              <th scope="row">{shown(row.label)}</th>
              <td>{row.target === null ? DASH : percent(row.target)}</td>
              <td>{row.draft === null ? DASH : percent(row.draft)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
