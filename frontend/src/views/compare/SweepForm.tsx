// The prompt, the drafter, and the button that starts a sweep over depths.

import { useId, useState } from "react";
import { formOf } from "../../app/state";
import { useSweep, useSweepStore } from "../../app/useRace";
import { useApp, useStore } from "../../app/useStore";
import { DrafterMenu } from "../../controls/DrafterMenu";
import { sweepLanes } from "../../run/sweep";
import { progressOf } from "./RaceForm";
import { Repeats } from "./Repeats";
import { commonOf, SharedSettings } from "./SharedSettings";
import { StartButton, useReason } from "./StartButton";

const NO_DRAFTER = "The server has no drafter.";

export function SweepForm() {
  const id = useId();
  const store = useStore();
  const sweep = useSweepStore();
  const settings = useApp((state) => state.settings);
  const usual = useApp((state) => formOf(state).drafter);
  const [chosen, setChosen] = useState<string | null>(null);
  const repeats = useSweep((state) => state.repeats);
  const running = useSweep((state) => state.running);
  const notice = useSweep((state) => state.notice);
  const reason = useReason("sweep");
  const drafters = settings?.drafters.filter(({ available }) => available) ?? [];
  const named = (name: unknown) => drafters.find((one) => one.name === name)?.name;
  const drafter =
    named(chosen) ?? named(usual) ?? named(settings?.defaults.drafter) ?? drafters[0]?.name ?? null;
  const start = () => {
    const common = commonOf(store);
    if (reason === null && common && drafter !== null) sweep.start(sweepLanes(drafter), common);
  };
  return (
    <section aria-label="Settings of the sweep" className="race-form">
      <SharedSettings onSubmit={start} />
      <div className="race-lanes">
        <div className="sweep-drafter">
          <label htmlFor={id}>Drafter</label>
          <DrafterMenu id={id} drafters={drafters} chosen={drafter ?? null} onChoose={setChosen} />
        </div>
        <Repeats of="depth" value={repeats} onChoose={(value) => sweep.setRepeats(value)} />
        <StartButton
          what="sweep"
          progress={running ? progressOf(running) : ""}
          notice={notice}
          obstacle={drafter === null ? NO_DRAFTER : null}
          onStart={start}
          onStop={() => sweep.stop()}
        />
      </div>
    </section>
  );
}
