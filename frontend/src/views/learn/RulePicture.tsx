// p, q and what came out, for five tokens on one scale.
import { type Distribution, LEAST, overlaps } from "../../theory/rule";
import { percent } from "../../words/format";
import { ShareBar } from "./ShareBar";

const share = (value: number): string => `${value * 100}%`;

interface Props {
  readonly tokens: readonly string[];
  readonly p: Distribution;
  readonly q: Distribution;
  /** The computed distribution of what comes out. */
  readonly output: Distribution;
  readonly counts: readonly number[];
  readonly emitted: number | null;
  onMove(which: "p" | "q", token: number, value: number): void;
}

export function RulePicture({ tokens, p, q, output, counts, emitted, onMove }: Props) {
  const overlap = overlaps(p, q);
  const draws = counts.reduce((sum, count) => sum + count, 0);
  const highest = 1 - (tokens.length - 1) * LEAST;
  return (
    <ul className="rule-picture">
      {tokens.map((token, index) => {
        const common = overlap[index] ?? 0;
        const own = { p: p[index] ?? 0, q: q[index] ?? 0 };
        return (
          <li key={token} className="rule-token" data-emitted={index === emitted || undefined}>
            <span className="rule-name">{token}</span>
            {(["p", "q"] as const).map((which) => (
              <div key={which} className="rule-line">
                <span aria-hidden>{which}</span>
                <ShareBar
                  name={`${which === "p" ? "Target p" : "Draft q"} of ${token}`}
                  value={own[which]}
                  highest={highest}
                  onMove={(value) => onMove(which, index, value)}
                >
                  <i className="bar-overlap" style={{ width: share(common) }} />
                  <i
                    className={which === "p" ? "bar-residual" : "bar-excess"}
                    style={{ left: share(common), width: share(own[which] - common) }}
                  />
                  <b className="bar-grip" style={{ left: share(own[which]) }} />
                </ShareBar>
                <span className="figures">{percent(own[which])}</span>
              </div>
            ))}
            <OutLine count={counts[index] ?? 0} draws={draws} computed={output[index] ?? 0} p={own.p} />
          </li>
        );
      })}
    </ul>
  );
}

function OutLine({
  count,
  draws,
  computed,
  p,
}: {
  count: number;
  draws: number;
  computed: number;
  p: number;
}) {
  const drawn = draws > 0 ? count / draws : 0;
  return (
    <div className="rule-line is-out">
      <span>out</span>
      <span className="out-track" aria-hidden>
        <i className="bar-drawn" style={{ width: share(drawn) }} />
        <i className="bar-computed" style={{ width: share(computed) }} />
        <i className="bar-mark" style={{ left: share(p) }} />
      </span>
      <span className="figures">{draws > 0 ? percent(drawn) : percent(null)}</span>
    </div>
  );
}

export function RuleKey() {
  return (
    <ul className="learn-key">
      <li>
        <i className="bar-overlap" aria-hidden /> min(p, q)
      </li>
      <li>
        <i className="bar-residual" aria-hidden /> p above q: the residual
      </li>
      <li>
        <i className="bar-excess" aria-hidden /> q above p
      </li>
      <li>
        <i className="bar-drawn" aria-hidden /> drawn
      </li>
      <li>
        <i className="bar-computed" aria-hidden /> computed
      </li>
      <li>
        <i className="bar-mark" aria-hidden /> p
      </li>
    </ul>
  );
}
