// Acceptance over the listed runs: by position, entropy, token class and prompt. A row shows its tokens in their text.
import { useEffect, useState } from "react";
import type { KeptRuns } from "../../app/kept";
import { goToAddress, runAddress } from "../../app/places";
import type { AcceptanceAnatomy, TokenExample } from "../../protocol/generated";
import { FigureMenu } from "../../ui/FigureMenu";
import { HelpTooltip } from "../../ui/HelpTooltip";
import { ASPECTS, cellWords, countWords, exampleWords, shareWords } from "../../words/anatomy";
import { whole } from "../../words/format";
import { visible } from "../../words/label";
import { type Fault, inWords, SEARCH_DELAY_MS } from "./useRuns";
import "./anatomy.css";

type Group = AcceptanceAnatomy["groups"][number];
type Cell = Group["cells"][number];

interface Props {
  readonly kept: KeptRuns;
  readonly containing: string;
}

/** The runs are read when it is opened, and again for another search. */
export function Anatomy({ kept, containing }: Props) {
  const [open, setOpen] = useState(false);
  return (
    <div className="anatomy">
      <button type="button" className="runs-button" aria-expanded={open} onClick={() => setOpen(!open)}>
        {open ? "Hide the acceptance over these runs" : "Acceptance over these runs"}
      </button>
      {open && <Result key={containing} kept={kept} containing={containing} />}
    </div>
  );
}

function Result({ kept, containing }: Props) {
  const [found, setFound] = useState<AcceptanceAnatomy | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  useEffect(() => {
    let left = false;
    const read = () =>
      kept
        .acceptance(containing)
        .then((anatomy) => left || setFound(anatomy))
        .catch((error: unknown) => left || setFault(inWords(error)));
    const timer = setTimeout(read, containing === "" ? 0 : SEARCH_DELAY_MS);
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [kept, containing]);
  if (fault)
    return (
      <p role="alert" className="runs-fault">
        <strong>{fault.message}</strong> {fault.hint}
      </p>
    );
  if (!found) return <p role="status">The runs are read.</p>;
  return <Groups found={found} />;
}

function Groups({ found }: { found: AcceptanceAnatomy }) {
  const [chosen, setChosen] = useState<readonly [Group["by"], string] | null>(null);
  const cell = found.groups
    .find(({ by }) => by === chosen?.[0])
    ?.cells.find(({ label }) => label === chosen?.[1]);
  return (
    <section aria-label="Acceptance over these runs">
      <p role="status" className="anatomy-count">
        {countWords(found)}
      </p>
      <div className="anatomy-groups">
        {found.groups.map((group) => (
          <Rows
            key={group.by}
            group={group}
            chosen={chosen?.[0] === group.by ? chosen[1] : null}
            onChoose={(label) => setChosen(label === null ? null : [group.by, label])}
          />
        ))}
      </div>
      {chosen && cell && <Examples title={`${ASPECTS[chosen[0]].title}: ${chosen[1]}`} cell={cell} />}
    </section>
  );
}

interface RowsProps {
  readonly group: Group;
  readonly chosen: string | null;
  onChoose(label: string | null): void;
}

function Rows({ group: { by, cells }, chosen, onChoose }: RowsProps) {
  const { title, help } = ASPECTS[by];
  if (cells.length === 0) return null;
  return (
    <figure className="anatomy-group" data-figure>
      <figcaption className="figure-head">
        <h3>
          <HelpTooltip help={help}>{title}</HelpTooltip>
        </h3>
        <FigureMenu title={`Acceptance ${title.toLowerCase()}`} />
      </figcaption>
      <ul>
        {cells.map((cell) => (
          <li key={cell.label}>
            <button
              type="button"
              aria-pressed={cell.label === chosen}
              title={cellWords(cell)}
              onClick={() => onChoose(cell.label === chosen ? null : cell.label)}
            >
              <span className="anatomy-label">{cell.label}</span>{" "}
              <span className="anatomy-bar">
                <span
                  className="anatomy-share"
                  style={{ width: `${(100 * cell.accepted) / cell.tested}%` }}
                />
                <span
                  className="anatomy-interval"
                  style={{ left: `${100 * cell.low}%`, right: `${100 * (1 - cell.high)}%` }}
                />
              </span>
              <span className="anatomy-figures">
                {shareWords(cell)} <small>of {whole(cell.tested)}</small>
              </span>{" "}
              <span className="sr-only">{cellWords(cell)}. Show its tokens</span>
            </button>
          </li>
        ))}
      </ul>
    </figure>
  );
}

function Examples({ title, cell }: { title: string; cell: Cell }) {
  return (
    <section className="anatomy-examples" aria-label="Tokens in their text">
      <h3>{title}</h3>
      <p>
        {cellWords(cell)}. The first tokens of the newest runs, accepted ones before rejected ones; a link
        leads to the token in its run.
      </p>
      <ul>
        {cell.examples.map((example) => (
          <li key={`${example.run}:${example.round}:${example.node}`}>
            <Example example={example} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Example({ example }: { example: TokenExample }) {
  const { run, round, node, before, token, after, accepted } = example;
  const address = runAddress(run, { round: round + 1, token: node + 1 });
  return (
    <a
      href={address}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        goToAddress(address);
      }}
    >
      <code>
        {oneLine(before)}
        <mark data-accepted={accepted}>{visible(token)}</mark>
        {oneLine(after)}
      </code>
      <span>{exampleWords(example, visible)}</span>
    </a>
  );
}

const oneLine = (text: string): string => text.replaceAll(/\s*\n\s*/g, " ↵ ");
