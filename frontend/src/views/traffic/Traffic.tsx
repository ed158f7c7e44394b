// The place Traffic: requests to the API as they come.
import { useEffect } from "react";
import type { TrafficState } from "../../app/traffic";
import { useTraffic, useTrafficStore } from "../../app/useTraffic";
import { Brand } from "../../ui/Brand";
import { Coded } from "../../ui/Coded";
import { Places } from "../../ui/Places";
import { ThemeMenu } from "../../ui/ThemeMenu";
import { countWords, TRAFFIC_ALL_REFUSED, TRAFFIC_EMPTY, TRAFFIC_LEAD } from "../../words/traffic";
import { RefusedTable } from "./RefusedTable";
import { TrafficTable } from "./TrafficTable";
import "./traffic.css";

const TITLE = "Traffic · SpeculatoViz";

export function Traffic() {
  const store = useTrafficStore();
  const state = useTraffic();
  useEffect(() => store.follow(), [store]);
  useEffect(() => {
    const before = document.title;
    document.title = TITLE;
    return () => {
      document.title = before;
    };
  }, []);
  return (
    <div className="traffic">
      <header className="page-header">
        <Brand />
        <Places />
        <div className="traffic-theme">
          <ThemeMenu />
        </div>
      </header>
      <main>
        <h1>Traffic</h1>
        <p className="traffic-lead">
          <Coded text={TRAFFIC_LEAD} />
        </p>
        <label className="traffic-prompts">
          <input
            type="checkbox"
            checked={state.prompts}
            onChange={(event) => store.showPrompts(event.target.checked)}
          />
          Show the beginning of each prompt
        </label>
        <p role="status" className="traffic-state">
          <Coded text={statusWords(state)} />
        </p>
        {state.runs !== null && state.runs.length > 0 && <TrafficTable runs={state.runs} />}
        {state.refused.length > 0 && <RefusedTable groups={state.refused} />}
      </main>
    </div>
  );
}

function statusWords({ connection, runs, refused }: TrafficState): string {
  if (connection === "reconnecting" || connection === "offline")
    return "The server cannot be reached. The list is the last that came.";
  if (runs === null) return "The list is loading.";
  if (runs.length > 0) return countWords(runs);
  return refused.length > 0 ? TRAFFIC_ALL_REFUSED : TRAFFIC_EMPTY;
}
