// The exactness label, and what it promises.
import { Check, Info } from "lucide-react";
import { Popover } from "radix-ui";
import type { ExactnessInfo, NoiseFloor } from "../protocol/generated";
import { percent } from "../state/format";
import { exactnessInForce } from "../state/selectors";
import { useApp } from "../state/useStore";

const MEANING: Readonly<Record<ExactnessInfo["label"], string>> = {
  exact:
    "The output has exactly the distribution of the target model, for the sampling asked for. Speculation changes the speed, never what is said.",
  "exact-greedy": "Only at temperature 0 is the output exactly the target's on this endpoint.",
  bounded:
    "The scores were cut off, so the distance from the target's distribution is bounded instead of zero.",
  lossy: "A lossy rule was asked for: the output may differ from the target's.",
  unverified: "It could not be shown that these tokens are the target's; no speedup is claimed.",
};

export function ExactnessBadge() {
  const ofRun = useApp((state) => (state.play ? exactnessInForce(state.play.full) : null));
  const ofServer = useApp((state) => state.health?.exactness ?? null);
  const started = useApp((state) => state.play?.full.started ?? null);
  const floorOfServer = useApp((state) => state.health?.noise_floor ?? null);
  const exactness = ofRun ?? ofServer;
  if (!exactness) return null;
  const good = exactness.label === "exact" || exactness.label === "exact-greedy";
  const Icon = good ? Check : Info;
  return (
    <Popover.Root>
      <Popover.Trigger
        data-status={good ? "accepted" : "resampled"}
        className="flex items-center gap-1 rounded-md border border-current px-2 py-0.5 text-[12px] font-medium whitespace-nowrap text-(--status)"
      >
        <Icon size={13} aria-hidden />
        <span className="sr-only">Exactness: </span>
        {exactness.label}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover space-y-2" align="end" sideOffset={8} aria-label="Exactness">
          <p>
            <strong>{exactness.label}.</strong> {MEANING[exactness.label]}
          </p>
          {exactness.reason && <p>{exactness.reason}</p>}
          <Floor floor={started ? started.noise_floor : floorOfServer} />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

function Floor({ floor }: { floor: NoiseFloor | null }) {
  if (!floor) return <p>The noise floor of the kernels has not been measured yet.</p>;
  return (
    <p>
      <strong>Noise floor.</strong> “Exact” is with respect to the scores the target returns. A pass over
      several tokens rounds differently from single steps, in every engine: over {floor.tokens} tokens the two
      distributions differed by {percent(floor.mean_total_variation)} on average (
      {percent(floor.max_total_variation)} at most), and{" "}
      {floor.argmax_agreement === 1
        ? "always agreed on the best token"
        : `agreed on the best token ${percent(floor.argmax_agreement)} of the time`}
      .
    </p>
  );
}
