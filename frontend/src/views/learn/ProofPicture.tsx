// The probability of every text: hatched as it comes out, a line where the target has it, and the gap between them.
import { scaleBand, scaleLinear } from "d3-scale";
import { useId, useRef } from "react";
import { useSize } from "../../ui/useSize";
import { LIMIT, textName } from "../../words/learn/proof";
import { Hatch } from "./Hatch";

const HEIGHT = 240;
const MARGIN = { top: 10, right: 2, bottom: 52, left: 40 };
const FALLBACK_WIDTH = 640;
const TICKS = 4;
const LETTER_PX = 14;

interface Props {
  readonly output: readonly number[];
  readonly target: readonly number[];
  readonly length: number;
}

export function ProofPicture({ output, target, length }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const hatch = useId();
  const width = useSize(box)?.width || FALLBACK_WIDTH;
  const texts = output.map((_, text) => text);
  const band = scaleBand(texts, [MARGIN.left, width - MARGIN.right]).padding(0.2);
  const y = scaleLinear([0, Math.max(...output, ...target)], [HEIGHT - MARGIN.bottom, MARGIN.top]).nice(
    TICKS,
  );
  const wide = band.bandwidth();
  const differs = (text: number) => Math.abs((output[text] ?? 0) - (target[text] ?? 0)) >= LIMIT;
  const count = texts.filter(differs).length;
  const label = `The probabilities of all ${texts.length} texts of ${length} tokens. ${count === 0 ? "All are those of the target." : `${count} differ from the target.`}`;
  return (
    <>
      <div ref={box} className="learn-columns">
        <svg role="img" aria-label={label} width={width} height={HEIGHT}>
          <Hatch id={hatch} className="columns-ink" />
          {y.ticks(TICKS).map((tick) => (
            <g key={tick} transform={`translate(0, ${y(tick)})`}>
              <line className="columns-grid" x1={MARGIN.left} x2={width - MARGIN.right} />
              <text x={MARGIN.left - 6} dy="0.32em" textAnchor="end">
                {Math.round(100 * tick)} %
              </text>
            </g>
          ))}
          {texts.map((text) => {
            const [found, wanted] = [output[text] ?? 0, target[text] ?? 0];
            const left = band(text) ?? 0;
            return (
              <g key={text}>
                <rect
                  className="column-bar"
                  x={left}
                  y={y(found)}
                  width={wide}
                  height={y(0) - y(found)}
                  fill={`url(#${hatch})`}
                />
                {differs(text) && (
                  <rect
                    className="proof-gap"
                    x={left}
                    y={y(Math.max(found, wanted))}
                    width={wide}
                    height={Math.abs(y(found) - y(wanted))}
                  />
                )}
                <line
                  className="proof-target"
                  x1={left - 1}
                  x2={left + wide + 1}
                  y1={y(wanted)}
                  y2={y(wanted)}
                />
                {[...textName(text, length)].map((letter, at) => (
                  <text
                    // biome-ignore lint/suspicious/noArrayIndexKey: a letter is its place
                    key={at}
                    x={left + wide / 2}
                    y={HEIGHT - MARGIN.bottom + 14 + at * LETTER_PX}
                    textAnchor="middle"
                  >
                    {letter}
                  </text>
                ))}
              </g>
            );
          })}
        </svg>
      </div>
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
