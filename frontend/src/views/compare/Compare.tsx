// The place Compare: a race of the same prompt under several settings, or a sweep over depths.
import { type ReactNode, type RefObject, useEffect, useRef } from "react";
import { useHash } from "../../app/places";
import { useRace, useSweep } from "../../app/useRace";
import { useStore } from "../../app/useStore";
import { Brand } from "../../ui/Brand";
import { Places } from "../../ui/Places";
import { ThemeMenu } from "../../ui/ThemeMenu";
import { RACE_LEAD } from "../../words/race";
import { SWEEP_LEAD } from "../../words/sweep";
import { RaceForm } from "./RaceForm";
import { RaceResult } from "./RaceResult";
import { SweepForm } from "./SweepForm";
import { SweepResult } from "./SweepResult";
import "./compare.css";
import "./sweep.css";

const TABS = ["race", "sweep"] as const;
type Tab = (typeof TABS)[number];
const NAMES: Readonly<Record<Tab, string>> = { race: "Race", sweep: "Sweep" };

export function Compare() {
  const store = useStore();
  const result = useRef<HTMLElement>(null);
  const tab: Tab = useHash() === "sweep" ? "sweep" : "race";
  const lanes = useRace((state) => state.lanes);
  const swept = useSweep((state) => state.lanes.length > 0 || (state.running?.done ?? 0) > 0);
  useEffect(() => void store.connect(), [store]);
  useEffect(() => {
    const before = document.title;
    document.title = `${NAMES[tab]} · Compare · SpeculatoViz`;
    return () => {
      document.title = before;
    };
  }, [tab]);
  const hasResult = tab === "race" ? lanes.length > 0 : swept;
  return (
    <div className="compare">
      {hasResult && (
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
        <nav aria-label="Kinds of comparison" className="compare-tabs">
          {TABS.map((name) => (
            <a key={name} href={`#${name}`} aria-current={name === tab ? "page" : undefined}>
              {NAMES[name]}
            </a>
          ))}
        </nav>
        <h1>{NAMES[tab]}</h1>
        <p className="compare-lead">{tab === "race" ? RACE_LEAD : SWEEP_LEAD}</p>
        {tab === "race" ? <RaceForm /> : <SweepForm />}
        {hasResult && (
          <Result key={tab} result={result}>
            {tab === "race" ? <RaceResult lanes={lanes} /> : <SweepResult />}
          </Result>
        )}
      </main>
    </div>
  );
}

interface ResultProps {
  readonly result: RefObject<HTMLElement | null>;
  readonly children: ReactNode;
}

const Result = ({ result, children }: ResultProps) => (
  <section ref={result} id="result" tabIndex={-1} aria-label="Result">
    {children}
  </section>
);
