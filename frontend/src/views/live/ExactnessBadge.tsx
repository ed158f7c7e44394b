// The exactness label, its meaning, and the facts of a remote target.
import { Check, Info, TriangleAlert } from "lucide-react";
import { Popover } from "radix-ui";
import { useMemo } from "react";
import { useApp } from "../../app/useStore";
import type { ExactnessInfo } from "../../protocol/generated";
import { exactnessOf } from "../../run/exactness";
import { emptyRun } from "../../run/reducer";
import { remoteOf } from "../../run/selectors";
import { boundWords } from "../../words/remote";
import { DepartureNote, NoiseNote, useDeparture, useNoiseFloor } from "./ExactnessNotes";
import { RemoteFacts, Warning } from "./RemoteFacts";

const MEANING: Readonly<Record<ExactnessInfo["label"], string>> = {
  exact:
    "The output distribution is the target's, for the requested sampling. Speculation changes the speed, never the distribution.",
  "exact-greedy": "On this endpoint the output is exactly the target's only at temperature 0.",
  bounded:
    "The endpoint's scores are truncated, so the total variation from the target's distribution has an upper bound instead of being 0.",
  lossy: "The chosen rule is lossy: the output distribution may differ from the target's.",
  unverified: "The endpoint generated these tokens itself and verified no draft. No speedup is claimed.",
};

/** The exactness of the run on the page; before a run, that of the server's target. */
function useExactness(): ExactnessInfo | null {
  const { started, updates, weakest } = useApp((state) => state.play?.full ?? emptyRun);
  const ofServer = useApp((state) => state.health?.exactness ?? null);
  return useMemo(
    () => exactnessOf({ started, updates, weakest }) ?? ofServer,
    [started, updates, weakest, ofServer],
  );
}

export function ExactnessBadge() {
  const exactness = useExactness();
  const remote = useApp((state) => (state.play ? remoteOf(state.play.full) : (state.health?.remote ?? null)));
  const departure = useDeparture();
  const proven = useNoiseFloor()?.proven ?? false;
  if (!exactness) return null;
  const good = exactness.label === "exact" || exactness.label === "exact-greedy";
  const warned = remote?.warning != null;
  const marked = warned || departure !== null;
  const Icon = marked ? TriangleAlert : good ? Check : Info;
  return (
    <Popover.Root>
      <Popover.Trigger
        data-status={good && !marked ? "accepted" : "resampled"}
        className="flex items-center gap-1 rounded-md border border-current px-2 py-0.5 text-[12px] font-medium whitespace-nowrap text-(--status)"
      >
        <Icon size={13} aria-hidden />
        <span className="sr-only">Exactness: </span>
        {exactness.label}
        {proven && good && !departure && <> · bit for bit</>}
        {departure && <> · departs at token {departure.position + 1}</>}
        {warned && <span className="sr-only">, with a warning</span>}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          className="popover is-wide space-y-2"
          align="end"
          sideOffset={8}
          collisionPadding={8}
          aria-label="Exactness"
          // It can scroll, so the keyboard must reach it.
          tabIndex={0}
        >
          {remote?.warning != null && <Warning words={remote.warning} />}
          <p>
            <strong>{exactness.label}.</strong> {MEANING[exactness.label]}
          </p>
          {exactness.reason && <p>{exactness.reason}</p>}
          {exactness.label === "bounded" && <Bound />}
          <DepartureNote />
          {remote && <RemoteFacts remote={remote} />}
          <NoiseNote />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** The bound up to the shown round. */
function Bound() {
  const bound = useApp((state) => state.play?.shown.latest?.total_variation_bound ?? null);
  if (bound === null) return null;
  return (
    <p>
      <strong>Bound.</strong> {boundWords(bound)}
    </p>
  );
}
