// The exactness label, what it promises, and what is known of a target elsewhere.
import { Check, Info, TriangleAlert } from "lucide-react";
import { Popover } from "radix-ui";
import { useMemo } from "react";
import { useApp } from "../../app/useStore";
import type { ExactnessInfo } from "../../protocol/generated";
import { exactnessOf } from "../../run/exactness";
import { emptyRun } from "../../run/reducer";
import { remoteOf } from "../../run/selectors";
import { boundWords } from "../../words/remote";
import { DepartureNote, NoiseNote, useDeparture } from "./ExactnessNotes";
import { RemoteFacts, Warning } from "./RemoteFacts";

const MEANING: Readonly<Record<ExactnessInfo["label"], string>> = {
  exact:
    "The output has exactly the distribution of the target model, for the sampling asked for. Speculation changes the speed, never what is said.",
  "exact-greedy": "Only at temperature 0 is the output exactly the target's on this endpoint.",
  bounded:
    "The scores were cut off, so the distance from the target's distribution is bounded instead of zero.",
  lossy: "A lossy rule was asked for: the output may differ from the target's.",
  unverified: "It could not be shown that these tokens are the target's; no speedup is claimed.",
};

/** Of the run on the page; of the server's target before one. */
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
        {departure && <> · departs at {departure.position + 1}</>}
        {warned && <span className="sr-only">, with a warning</span>}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          className={`popover space-y-2 ${remote ? "is-wide" : ""}`}
          align="end"
          sideOffset={8}
          collisionPadding={8}
          aria-label="Exactness"
          // It may scroll, so the keyboard must reach it.
          tabIndex={0}
        >
          {remote?.warning != null && <Warning words={remote.warning} />}
          <p>
            <strong>{exactness.label}.</strong> {MEANING[exactness.label]}
          </p>
          <DepartureNote />
          {exactness.reason && <p>{exactness.reason}</p>}
          {exactness.label === "bounded" && <Bound />}
          {remote && <RemoteFacts remote={remote} />}
          <NoiseNote />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** Up to the round that is shown. */
function Bound() {
  const bound = useApp((state) => state.play?.shown.latest?.total_variation_bound ?? null);
  if (bound === null) return null;
  return (
    <p>
      <strong>Bound.</strong> {boundWords(bound)}
    </p>
  );
}
