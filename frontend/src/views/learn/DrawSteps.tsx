// One draw in three steps, each a line from 0 to 1 with the uniform as a needle.
import { type Distribution, type Draw, type Rule, replacement } from "../../theory/rule";
import { drawWords } from "../../words/learn/rule";

const share = (value: number): string => `${value * 100}%`;

interface Props {
  readonly tokens: readonly string[];
  readonly p: Distribution;
  readonly q: Distribution;
  readonly rule: Rule;
  readonly draw: Draw | null;
}

export function DrawSteps({ tokens, p, q, rule, draw }: Props) {
  const [draft, test, redraw] = draw ? drawWords(draw, tokens, rule) : ["Draft", "Test", "Redraw"];
  return (
    <ol className="draw-steps" aria-live="polite" aria-label="The last draw">
      <li>
        <span>{draft}</span>
        <Parts tokens={tokens} parts={q} chosen={draw?.drafted ?? null} needle={draw?.draftUniform ?? null} />
      </li>
      <li>
        <span>{test}</span>
        <span className="step-track" aria-hidden>
          <i className="step-accept" style={{ width: share(draw?.acceptProb ?? 0) }} />
          {draw && rule !== "always" && <Needle at={draw.uniform} />}
        </span>
      </li>
      <li>
        <span>{redraw || "Redraw: not needed."}</span>
        {draw?.redraw != null && (
          <Parts tokens={tokens} parts={replacement(rule, p, q)} chosen={draw.emitted} needle={draw.redraw} />
        )}
      </li>
    </ol>
  );
}

interface PartsProps {
  readonly tokens: readonly string[];
  readonly parts: Distribution;
  readonly chosen: number | null;
  readonly needle: number | null;
}

function Parts({ tokens, parts, chosen, needle }: PartsProps) {
  return (
    <span className="step-track" aria-hidden>
      {tokens.map((token, index) => (
        <i
          key={token}
          className="step-part"
          data-chosen={index === chosen || undefined}
          style={{ width: share(parts[index] ?? 0) }}
        >
          {(parts[index] ?? 0) > 0.08 && token}
        </i>
      ))}
      {needle !== null && <Needle at={needle} />}
    </span>
  );
}

const Needle = ({ at }: { at: number }) => <b className="step-needle" style={{ left: share(at) }} />;
