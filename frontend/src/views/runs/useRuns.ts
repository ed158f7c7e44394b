// The list of kept runs, as it is searched, continued and changed.
import { useCallback, useEffect, useRef, useState } from "react";
import { type KeptRuns, keptRuns } from "../../app/kept";
import { ServerError } from "../../protocol/ask";
import type { StoredRun } from "../../protocol/generated";

/** After the last letter of a search. */
export const SEARCH_DELAY_MS = 200;

export interface Fault {
  readonly message: string;
  readonly hint: string;
}

interface List {
  readonly runs: readonly StoredRun[];
  /** The id to continue with; null at the end. */
  readonly after: string | null;
}

export interface RunList extends List {
  /** Where runs are kept; null until that is known. */
  readonly kept: KeptRuns | null;
  readonly loading: boolean;
  readonly fault: Fault | null;
  more(): void;
  rename(id: string, name: string): Promise<boolean>;
  remove(id: string): Promise<boolean>;
  dismiss(): void;
  fail(error: unknown): void;
}

const EMPTY: List = { runs: [], after: null };

export const inWords = (error: unknown): Fault =>
  error instanceof ServerError
    ? { message: error.message, hint: error.hint }
    : { message: "That did not work.", hint: "Reload the page, and try again." };

export function useRuns(containing: string): RunList {
  const [kept, setKept] = useState<KeptRuns | null>(null);
  const [list, setList] = useState<List>(EMPTY);
  const [loading, setLoading] = useState(true);
  const [fault, setFault] = useState<Fault | null>(null);
  const ticket = useRef(0);
  const fail = useCallback((error: unknown) => setFault(inWords(error)), []);

  useEffect(() => {
    void keptRuns().then(setKept);
  }, []);

  /** The first page, or the one after the runs that are shown. An answer that comes after a later question is dropped. */
  const load = useCallback(
    async (from: KeptRuns, before: List) => {
      ticket.current += 1;
      const own = ticket.current;
      setLoading(true);
      try {
        const page = await from.page(containing, before.after);
        if (own === ticket.current) setList({ runs: [...before.runs, ...page.runs], after: page.after });
      } catch (error) {
        if (own === ticket.current) fail(error);
      } finally {
        if (own === ticket.current) setLoading(false);
      }
    },
    [containing, fail],
  );

  useEffect(() => {
    if (kept === null) return;
    const timer = setTimeout(() => void load(kept, EMPTY), containing === "" ? 0 : SEARCH_DELAY_MS);
    return () => clearTimeout(timer);
  }, [kept, load, containing]);

  const changed = async (
    change: (from: KeptRuns) => Promise<(runs: readonly StoredRun[]) => StoredRun[]>,
  ) => {
    if (kept === null) return false;
    try {
      const apply = await change(kept);
      setList(({ runs, after }) => ({ runs: apply(runs), after }));
      return true;
    } catch (error) {
      fail(error);
      return false;
    }
  };
  return {
    ...list,
    kept,
    loading,
    fault,
    fail,
    more: () => void (kept && load(kept, list)),
    rename: (id, name) =>
      changed(async (from) => {
        const named = await from.rename(id, name);
        return (runs) => runs.map((run) => (run.id === id ? { ...run, name: named.name } : run));
      }),
    remove: (id) =>
      changed(async (from) => {
        await from.remove(id);
        return (runs) => runs.filter((run) => run.id !== id);
      }),
    dismiss: () => setFault(null),
  };
}
