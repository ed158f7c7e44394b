// The place Compare: a race of the same prompt under several settings.
import { useEffect, useRef } from "react";
import { useRace } from "../../app/useRace";
import { useStore } from "../../app/useStore";
import { Brand } from "../../ui/Brand";
import { Places } from "../../ui/Places";
import { ThemeMenu } from "../../ui/ThemeMenu";
import { RACE_LEAD } from "../../words/race";
import { RaceForm } from "./RaceForm";
import { RaceResult } from "./RaceResult";
import "./compare.css";

export function Compare() {
  const store = useStore();
  const result = useRef<HTMLElement>(null);
  const lanes = useRace((state) => state.lanes);
  useEffect(() => void store.connect(), [store]);
  useEffect(() => {
    const before = document.title;
    document.title = "Compare · SpeculatoViz";
    return () => {
      document.title = before;
    };
  }, []);
  return (
    <div className="compare">
      {lanes.length > 0 && (
        <button type="button" className="skip-link" onClick={() => result.current?.focus()}>
          Skip to the result
        </button>
      )}
      <header className="page-header">
        <Brand />
        <Places />
        <span className="compare-theme">
          <ThemeMenu />
        </span>
      </header>
      <main>
        <h1>Race</h1>
        <p className="compare-lead">{RACE_LEAD}</p>
        <RaceForm />
        {lanes.length > 0 && (
          <section ref={result} id="result" tabIndex={-1} aria-label="Result">
            <RaceResult lanes={lanes} />
          </section>
        )}
      </main>
    </div>
  );
}
