// The probability of every text: hatched as it comes out, a line where the target has it, and the gap between them.
import { LIMIT, textName } from "../../words/learn/proof";
import { ColumnFrame } from "./ColumnFrame";

const HEIGHT = 240;
const MARGIN = { top: 10, right: 2, bottom: 52, left: 40 };
const LETTER_PX = 14;

interface Props {
  readonly output: readonly number[];
  readonly target: readonly number[];
  readonly length: number;
}

export function ProofPicture({ output, target, length }: Props) {
  const texts = output.map((_, text) => text);
  const differs = (text: number) => Math.abs((output[text] ?? 0) - (target[text] ?? 0)) >= LIMIT;
  const count = texts.filter(differs).length;
  const label = `The probabilities of all ${texts.length} texts of ${length} tokens. ${count === 0 ? "All are those of the target." : `${count} differ from the target.`}`;
  return (
    <>
      <ColumnFrame
        label={label}
        xs={texts}
        highest={Math.max(...output, ...target)}
        height={HEIGHT}
        margin={MARGIN}
        gap={0.2}
        tickName={(tick) => `${Math.round(100 * tick)} %`}
      >
        {({ at, columnWidth, y, hatched }) =>
          texts.map((text) => {
            const [found, wanted, left] = [output[text] ?? 0, target[text] ?? 0, at(text)];
            return (
              <g key={text}>
                <rect
                  className="column-bar"
                  x={left}
                  y={y(found)}
                  width={columnWidth}
                  height={y(0) - y(found)}
                  fill={hatched}
                />
                {differs(text) && (
                  <rect
                    className="proof-gap"
                    x={left}
                    y={y(Math.max(found, wanted))}
                    width={columnWidth}
                    height={Math.abs(y(found) - y(wanted))}
                  />
                )}
                <line
                  className="proof-target"
                  x1={left - 1}
                  x2={left + columnWidth + 1}
                  y1={y(wanted)}
                  y2={y(wanted)}
                />
                {[...textName(text, length)].map((letter, place) => (
                  <text
                    // biome-ignore lint/suspicious/noArrayIndexKey: a letter is its place
                    key={place}
                    x={left + columnWidth / 2}
                    y={HEIGHT - MARGIN.bottom + 14 + place * LETTER_PX}
                    textAnchor="middle"
                  >
                    {letter}
                  </text>
                ))}
              </g>
            );
          })
        }
      </ColumnFrame>
      <ul className="learn-key">
        <li>
          <i className="key-computed" aria-hidden /> what comes out, computed
        </li>
        <li>
          <i className="key-line" aria-hidden /> the target alone
        </li>
        <li>
          <i className="key-gap" aria-hidden /> difference
        </li>
      </ul>
    </>
  );
}
