// p and q of one context as bars that can be dragged, a token below the other.
import type { ReactNode } from "react";
import { type Distribution, LEAST, overlaps } from "../../theory/rule";
import { percent } from "../../words/format";
import { ShareBar } from "./ShareBar";

export const share = (value: number): string => `${value * 100}%`;

interface Props {
  readonly tokens: readonly string[];
  readonly p: Distribution;
  readonly q: Distribution;
  /** The token to mark; null for none. */
  readonly emitted?: number | null;
  /** Whether the names are single letters. */
  readonly short?: boolean;
  onMove(which: "p" | "q", token: number, value: number): void;
  /** A third line below p and q of a token. */
  readonly below?: (token: number) => ReactNode;
}

export function TokenBars({ tokens, p, q, emitted = null, short = false, onMove, below }: Props) {
  const overlap = overlaps(p, q);
  const highest = 1 - (tokens.length - 1) * LEAST;
  return (
    <ul className="rule-picture" data-short={short || undefined}>
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
            {below?.(index)}
          </li>
        );
      })}
    </ul>
  );
}
