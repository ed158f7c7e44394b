// p, q and what came out, for five tokens on one scale.
import type { Distribution } from "../../theory/rule";
import { percent } from "../../words/format";
import { share, TokenBars } from "./TokenBars";

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

export function RulePicture({ output, counts, ...bars }: Props) {
  const draws = counts.reduce((sum, count) => sum + count, 0);
  return (
    <TokenBars
      {...bars}
      below={(token) => (
        <OutLine
          count={counts[token] ?? 0}
          draws={draws}
          computed={output[token] ?? 0}
          p={bars.p[token] ?? 0}
        />
      )}
    />
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
