// Playback controls: steps, speed, and the scrubber with the whole run.
import {
  ChevronFirst,
  ChevronLast,
  ChevronsRight,
  Pause,
  Play,
  RotateCcw,
  StepBack,
  StepForward,
} from "lucide-react";
import { Tooltip } from "radix-ui";
import type { ReactNode } from "react";
import { useApp, useStore } from "../../app/useStore";
import type { Playback, PlaybackMode } from "../../run/playback";
import * as playback from "../../run/playback";
import { seconds } from "../../words/format";
import { Scrubber } from "./Scrubber";
import "./transport.css";

const MODES: readonly { value: PlaybackMode; name: string; help: string }[] = [
  { value: "real", name: "real time", help: "As it happened, without added pauses." },
  {
    value: "paced",
    name: "paced",
    help: "50 ms per drafted token and 80 ms per verdict. It follows a live run.",
  },
  { value: "slow", name: "slow", help: "Paced, four times slower. A live run goes on meanwhile." },
];

export function Transport() {
  const play = useApp((state) => state.play);
  if (!play || play.events.length === 0) return null;
  return (
    <section aria-label="Playback" className="transport">
      <Tooltip.Provider delayDuration={300}>
        <Buttons play={play} />
        <ModeSelect />
      </Tooltip.Provider>
      <Scrubber play={play} />
      <Position play={play} />
    </section>
  );
}

function Button(props: { name: string; onClick(): void; disabled?: boolean; children: ReactNode }) {
  return (
    <Tooltip.Root>
      <Tooltip.Trigger asChild>
        <button
          type="button"
          className="icon-button"
          aria-label={props.name}
          disabled={props.disabled ?? false}
          onClick={props.onClick}
        >
          {props.children}
        </button>
      </Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Content className="popover tip" sideOffset={6}>
          {props.name}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}

function Buttons({ play }: { play: Playback }) {
  const store = useStore();
  const atStart = play.cursor <= playback.startCursor(play);
  const atEnd = playback.atEnd(play);
  const ended = atEnd && playback.isComplete(play);
  const step = (change: (state: Playback) => Playback) => () => store.playback(change);
  return (
    <div className="flex items-center">
      <Button name="Previous round" disabled={atStart} onClick={step((s) => playback.stepRound(s, -1))}>
        <ChevronFirst size={17} aria-hidden />
      </Button>
      <Button name="Previous token" disabled={atStart} onClick={step((s) => playback.stepEvent(s, -1))}>
        <StepBack size={15} aria-hidden />
      </Button>
      {play.playing ? (
        <Button name="Pause" onClick={step(playback.pause)}>
          <Pause size={17} fill="currentColor" aria-hidden />
        </Button>
      ) : (
        <Button
          disabled={play.full.rounds.length === 0}
          name={ended ? "Play again" : "Play"}
          onClick={step(playback.play)}
        >
          {ended ? <RotateCcw size={16} aria-hidden /> : <Play size={17} fill="currentColor" aria-hidden />}
        </Button>
      )}
      <Button name="Next token" disabled={atEnd} onClick={step((s) => playback.stepEvent(s, 1))}>
        <StepForward size={15} aria-hidden />
      </Button>
      <Button name="Next round" disabled={atEnd} onClick={step((s) => playback.stepRound(s, 1))}>
        <ChevronLast size={17} aria-hidden />
      </Button>
    </div>
  );
}

function ModeSelect() {
  const store = useStore();
  const mode = useApp((state) => state.mode);
  return (
    <select
      aria-label="Playback speed"
      className="mode-select"
      title={MODES.find(({ value }) => value === mode)?.help}
      value={mode}
      onChange={(event) => store.setMode(event.target.value as PlaybackMode)}
    >
      {MODES.map(({ value, name }) => (
        <option key={value} value={value}>
          {name}
        </option>
      ))}
    </select>
  );
}

function Position({ play }: { play: Playback }) {
  const store = useStore();
  const newer = playback.isComplete(play) ? 0 : play.roundEnds.length - playback.roundsShown(play);
  // Paced playback catches up by itself.
  const lags = newer > playback.LAG_ROUNDS && (play.mode === "slow" || !play.following);
  return (
    <div className="position figures">
      {lags && (
        <button type="button" className="live-button" onClick={() => store.playback(playback.goLive)}>
          {newer} newer rounds
          <ChevronsRight size={14} aria-hidden />
          <span className="sr-only">, go to the newest</span>
        </button>
      )}
      <span>
        <span className="max-[799px]:sr-only">round </span>
        {Math.min(play.shown.rounds.length, play.full.rounds.length)} / {play.full.rounds.length}
      </span>
      <span className="w-12 text-right">{seconds(playback.elapsedMs(play))}</span>
    </div>
  );
}
