// Two runs side by side: settings, figures, and where their texts first differ.
import { X } from "lucide-react";
import { useEffect, useState } from "react";
import type { KeptRuns } from "../../app/kept";
import type { StoredRun } from "../../protocol/generated";
import { parseRecording } from "../../run/recording";
import { emptyRun, reduceAll } from "../../run/reducer";
import { visibleText } from "../../run/selectors";
import { firstDifference } from "../../run/summary";
import { comparedRows, differenceWords, moment, runTitle } from "../../words/runs";
import { type Fault, inWords } from "./useRuns";

type Pair<T> = readonly [T, T];

interface Props {
  readonly kept: KeptRuns;
  readonly runs: Pair<StoredRun>;
  onClose(): void;
}

/** The text of a run, from its trace; of one that was cut off, up to there. */
function textOf(trace: string): string {
  const run = reduceAll(emptyRun, parseRecording(trace)?.events ?? []);
  return run.done?.generated_text ?? visibleText(run);
}

export function CompareRuns({ kept, runs: [a, b], onClose }: Props) {
  const [texts, setTexts] = useState<Pair<string> | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  useEffect(() => {
    let left = false;
    setTexts(null);
    setFault(null);
    Promise.all([kept.trace(a.id), kept.trace(b.id)])
      .then(([one, other]) => left || setTexts([textOf(one), textOf(other)]))
      .catch((error: unknown) => left || setFault(inWords(error)));
    return () => {
      left = true;
    };
  }, [kept, a.id, b.id]);
  return (
    <section aria-labelledby="compared" className="compared">
      <div className="compared-head">
        <h2 id="compared">Two runs side by side</h2>
        <button type="button" className="icon-button" aria-label="Close the comparison" onClick={onClose}>
          <X size={15} aria-hidden />
        </button>
      </div>
      <table>
        <thead>
          <tr>
            <td />
            {[a, b].map((run) => (
              <th key={run.id} scope="col">
                {runTitle(run)}
                <span className="compared-when">{moment(run.created_ms)}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {comparedRows(a, b).map(({ name, values, differs }) => (
            <tr key={name} data-differs={differs || undefined}>
              <th scope="row">{name}</th>
              <td>{values[0]}</td>
              <td>{values[1]}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {fault && <p>{`${fault.message} ${fault.hint}`}</p>}
      {texts && <Texts texts={texts} />}
    </section>
  );
}

const BEFORE = 60;
const AFTER = 240;

/** The texts around their first difference. */
function Texts({ texts: [one, other] }: { texts: Pair<string> }) {
  const at = firstDifference(one, other);
  const length = [...one].length;
  return (
    <>
      <p className="compared-difference">{differenceWords(at, length)}</p>
      {at !== null && (
        <div className="compared-texts">
          <Excerpt text={one} at={at} />
          <Excerpt text={other} at={at} />
        </div>
      )}
    </>
  );
}

function Excerpt({ text, at }: { text: string; at: number }) {
  const characters = [...text];
  const from = Math.max(0, at - BEFORE);
  const rest = characters.slice(at, at + AFTER).join("");
  return (
    <pre>
      {from > 0 && "…"}
      {characters.slice(from, at).join("")}
      <mark>{rest === "" ? "∎" : rest}</mark>
      {characters.length > at + AFTER && "…"}
    </pre>
  );
}
