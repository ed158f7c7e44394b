// One decision as a picture: p and q of the same tokens, as the rule used them.
import { type Decision, type DecisionRow, decisionOf, redrawOf } from "../../run/decision";
import type { Run, Token } from "../../run/model";
import { FigureMenu } from "../../ui/FigureMenu";
import { HelpTooltip } from "../../ui/HelpTooltip";
import { decisionHelp, decisionNote } from "../../words/decision";
import { DASH, fixed, percent, shown } from "../../words/format";
import "./decision.css";

const share = (value: number): string => `${value * 100}%`;

export function DecisionFigure({ run, token }: { run: Run; token: Token }) {
  const decision = decisionOf(run, token);
  if (!decision) return null;
  const redraw = redrawOf(token);
  const compares = decision.rows.some((row) => row.q !== null);
  return (
    <section aria-label="Decision" className="decision" data-status={token.status} data-figure>
      <header className="figure-head">
        <h3>
          <HelpTooltip help={decisionHelp(token)}>{compares ? "p and q, as used" : "p, as used"}</HelpTooltip>
        </h3>
        <FigureMenu title="Decision" />
      </header>
      <table>
        <thead>
          <tr>
            <th scope="col">token</th>
            <th scope="col" aria-label="picture" />
            <th scope="col">p</th>
            {compares && <th scope="col">q</th>}
            {redraw.size > 0 && <th scope="col">residual</th>}
          </tr>
        </thead>
        <tbody>
          {decision.rows.map((row) => (
            <tr key={row.tokenId} data-chosen={row.tokenId === token.tokenId || undefined}>
              <th scope="row" title={shown(row.label)}>
                {shown(row.label)}
              </th>
              <td className="decision-cell">
                <Bar row={row} needle={row.tokenId === decision.tested?.tokenId ? decision.needle : null} />
              </td>
              <td>{percent(row.p)}</td>
              {compares && <td>{percent(row.q)}</td>}
              {redraw.size > 0 && <td>{redrawWords(redraw, row)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
      <Key decision={decision} compares={compares} />
      <p className="decision-note">{decisionNote(token, decision.partial)}</p>
    </section>
  );
}

function redrawWords(redraw: ReadonlyMap<number, number>, row: DecisionRow): string {
  const probability = redraw.get(row.tokenId);
  if (probability !== undefined) return percent(probability);
  return row.residual > 0 ? DASH : percent(0);
}

function Bar({ row, needle }: { row: DecisionRow; needle: number | null }) {
  return (
    <span className="decision-track" aria-hidden>
      <Part kind="overlap" from={0} size={row.overlap} />
      <Part kind="residual" from={row.overlap} size={row.residual} />
      <Part kind="excess" from={row.overlap} size={row.excess} />
      {needle !== null && <span className="decision-needle" style={{ left: share(needle) }} />}
    </span>
  );
}

function Part({ kind, from, size }: { kind: string; from: number; size: number }) {
  if (size === 0) return null;
  return <span className={`decision-${kind}`} style={{ left: share(from), width: share(size) }} />;
}

function Key({ decision, compares }: { decision: Decision; compares: boolean }) {
  if (!compares) return null;
  const uniform = decision.tested?.verdict?.uniform;
  return (
    <p className="decision-key">
      <span>
        <i className="decision-overlap" aria-hidden /> min(p, q)
      </span>
      <span>
        <i className="decision-residual" aria-hidden /> residual, p above q
      </span>
      <span>
        <i className="decision-excess" aria-hidden /> q above p
      </span>
      {decision.needle !== null && (
        <span>
          <i className="decision-needle" aria-hidden /> uniform {fixed(uniform, 3)} · q
        </span>
      )}
    </p>
  );
}
