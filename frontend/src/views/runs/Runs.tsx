// The place Runs: the runs that are kept, and two of them side by side.
import { FolderOpen } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { StoredRun } from "../../protocol/generated";
import { Brand } from "../../ui/Brand";
import { Coded } from "../../ui/Coded";
import { Places } from "../../ui/Places";
import { ThemeMenu } from "../../ui/ThemeMenu";
import { useOpenFile } from "../../ui/TraceDrop";
import { placeWords } from "../../words/runs";
import { Anatomy } from "./Anatomy";
import { CompareRuns } from "./CompareRuns";
import { DeleteRun } from "./DeleteRun";
import { EngineStatistics } from "./EngineStatistics";
import { RunTable } from "./RunTable";
import { saveTrace } from "./saveTrace";
import { type RunList, useRuns } from "./useRuns";
import "./runs.css";

const TITLE = "Runs · SpeculatoViz";

export function Runs() {
  const [containing, setContaining] = useState("");
  const [chosen, setChosen] = useState<readonly StoredRun[]>([]);
  const [leaving, setLeaving] = useState<StoredRun | null>(null);
  const list = useRuns(containing.trim());
  useEffect(() => {
    const before = document.title;
    document.title = TITLE;
    return () => {
      document.title = before;
    };
  }, []);
  const choose = (run: StoredRun, on: boolean) =>
    setChosen((runs) => [...runs.filter(({ id }) => id !== run.id), ...(on ? [run] : [])].slice(-2));
  const remove = async ({ id }: StoredRun) => {
    setLeaving(null);
    if (await list.remove(id)) setChosen((runs) => runs.filter((run) => run.id !== id));
  };
  const save = (run: StoredRun) => {
    if (list.kept) saveTrace(list.kept, run).catch(list.fail);
  };
  const [a, b] = chosen;
  const changing = list.kept?.place !== "site";
  return (
    <div className="runs">
      <header className="page-header">
        <Brand />
        <Places />
        <div className="runs-theme">
          <ThemeMenu />
        </div>
      </header>
      <main>
        <h1>Runs</h1>
        {list.kept && (
          <p className="runs-place">
            <Coded text={placeWords(list.kept.place)} />
          </p>
        )}
        <Tools containing={containing} onContaining={setContaining} />
        <Fault list={list} />
        {list.kept && list.runs.length > 0 && <Anatomy kept={list.kept} containing={containing.trim()} />}
        {list.kept && a && b && <CompareRuns kept={list.kept} runs={[a, b]} onClose={() => setChosen([])} />}
        {list.runs.length > 0 && (
          <RunTable
            runs={list.runs}
            chosen={chosen.map(({ id }) => id)}
            onChoose={choose}
            onRename={changing ? list.rename : null}
            onSave={save}
            onDelete={changing ? setLeaving : null}
          />
        )}
        <p role="status" className="runs-state">
          {stateWords(list, containing.trim() !== "")}
        </p>
        {list.after !== null && (
          <button type="button" className="runs-button" disabled={list.loading} onClick={list.more}>
            Show more
          </button>
        )}
        {changing && <EngineStatistics />}
      </main>
      <DeleteRun run={leaving} onDelete={remove} onKeep={() => setLeaving(null)} />
    </div>
  );
}

function stateWords({ loading, runs, after }: RunList, searched: boolean): string {
  if (loading) return "The list is loading.";
  if (runs.length === 0) return searched ? "No run contains this." : "There are no runs yet.";
  return after === null && !searched ? "" : `${runs.length} runs are shown.`;
}

function Tools({ containing, onContaining }: { containing: string; onContaining(text: string): void }) {
  const open = useOpenFile();
  const file = useRef<HTMLInputElement>(null);
  return (
    <div className="runs-tools">
      <label>
        <span>Search</span>
        <input
          type="search"
          value={containing}
          placeholder="name, prompt, model or drafter"
          onChange={(event) => onContaining(event.target.value)}
        />
      </label>
      <button type="button" className="runs-button" onClick={() => file.current?.click()}>
        <FolderOpen size={15} aria-hidden />
        Open a trace file
      </button>
      <input
        ref={file}
        type="file"
        accept=".jsonl,.json,.txt"
        hidden
        onChange={(event) => {
          const chosen = event.target.files?.[0];
          if (chosen) void open(chosen);
        }}
      />
    </div>
  );
}

function Fault({ list }: { list: RunList }) {
  return (
    <div role="alert">
      {list.fault && (
        <p className="runs-fault">
          <strong>{list.fault.message}</strong> {list.fault.hint}{" "}
          <button type="button" className="runs-link" onClick={list.dismiss}>
            Dismiss
          </button>
        </p>
      )}
    </div>
  );
}
