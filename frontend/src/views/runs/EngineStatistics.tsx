// The statistics of another engine: pasted or from a file, shown as those of a run.
import { useId, useRef, useState } from "react";
import { PositionChart } from "../../charts/PositionChart";
import { ServerError } from "../../protocol/ask";
import type { EngineStatistics as Found } from "../../protocol/generated";
import { readStatistics } from "../../protocol/statistics";
import { Provenance } from "../../ui/provenance";
import {
  cannotWords,
  ORIGINS,
  STATISTICS_HELP,
  sourceWords,
  statisticsRows,
} from "../../words/engineStatistics";
import "../../charts/charts.css";
import "../../controls/controls.css";
import "./statistics.css";

export function EngineStatistics() {
  const id = useId();
  const file = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [found, setFound] = useState<readonly Found[]>([]);
  const [fault, setFault] = useState<ServerError | null>(null);
  const read = async (read: string) => {
    try {
      setFound(await readStatistics(read));
      setFault(null);
    } catch (error) {
      setFault(
        error instanceof ServerError ? error : new ServerError("The text cannot be read.", "Choose another."),
      );
    }
  };
  const open = async (chosen: File) => {
    const content = await chosen.text().catch(() => null);
    if (content === null) {
      setFault(new ServerError(`${chosen.name} cannot be read.`, "Choose it again."));
      return;
    }
    setText(content);
    await read(content);
  };
  return (
    <details className="statistics">
      <summary>Statistics of another engine</summary>
      <p id={`${id}-help`}>{STATISTICS_HELP}</p>
      <textarea
        className="paste-box"
        aria-label="Statistics of another engine"
        aria-describedby={`${id}-help`}
        rows={5}
        spellCheck={false}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <div className="statistics-tools">
        <button
          type="button"
          className="runs-button"
          disabled={text.trim() === ""}
          onClick={() => void read(text)}
        >
          Read
        </button>
        <button type="button" className="runs-button" onClick={() => file.current?.click()}>
          Choose a file
        </button>
        <input
          ref={file}
          type="file"
          aria-label="File of statistics"
          hidden
          onChange={(event) => {
            const chosen = event.target.files?.[0];
            if (chosen) void open(chosen);
          }}
        />
      </div>
      {fault && (
        <p role="alert" className="runs-fault">
          <strong>{fault.message}</strong> {fault.hint}
        </p>
      )}
      {found.map((one) => (
        <Source key={sourceWords(one)} found={one} />
      ))}
    </details>
  );
}

function Source({ found }: { found: Found }) {
  const rates = found.per_position_acceptance_rate;
  const conditional = found.conditional_acceptance_rate ?? [];
  const cannot = cannotWords(found);
  return (
    <Provenance value={`${sourceWords(found)}, as read by SpeculatoViz`}>
      <section className="statistics-source" aria-label={sourceWords(found)}>
        <h2>{sourceWords(found)}</h2>
        <div className="statistics-figures">
          <table>
            <thead className="sr-only">
              <tr>
                <th scope="col">Figure</th>
                <th scope="col">Value</th>
                <th scope="col">Origin</th>
              </tr>
            </thead>
            <tbody>
              {statisticsRows(found).map(({ title, value, origin }) => (
                <tr key={title} data-origin={origin}>
                  <th scope="row">{title}</th>
                  <td>{value}</td>
                  <td>{ORIGINS[origin]}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {rates && (
            <div className="db statistics-chart">
              <PositionChart
                rates={rates.map((rate, at) => ({
                  position: at + 1,
                  rate,
                  conditional: conditional[at] ?? null,
                }))}
              />
            </div>
          )}
        </div>
        {cannot && <p className="statistics-note">{cannot}</p>}
        {found.disagreements.map((sentence) => (
          <p key={sentence} className="statistics-fault">
            {sentence}
          </p>
        ))}
      </section>
    </Provenance>
  );
}
