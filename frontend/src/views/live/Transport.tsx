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
import { memo, type ReactNode } from "react";
import { useApp, useStore } from "../../app/useStore";
import type { Run } from "../../run/model";
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

/** What the controls show of the playback. Each part of them renders again only if a field of its own changed. */
interface Position {
  readonly full: Run;
  readonly begun: number;
  readonly shown: number;
  readonly finished: number;
  readonly atStart: boolean;
  readonly atEnd: boolean;
  readonly ended: boolean;
  readonly playing: boolean;
  /** Newer rounds that the playback does not catch up with by itself. */
  readonly newer: number;
  readonly elapsedMs: number;
}

function positionOf(play: Playback | null): Position | null {
  if (!play || play.events.length === 0) return null;
  const shown = playback.roundsShown(play);
  const finished = play.roundEnds.length;
  const atEnd = playback.atEnd(play);
  const newer = playback.isComplete(play) ? 0 : finished - shown;
  // Paced playback catches up by itself.
  const lags = newer > playback.LAG_ROUNDS && (play.mode === "slow" || !play.following);
  return {
    full: play.full,
    begun: play.shown.rounds.length,
    shown,
    finished,
    atStart: play.cursor <= playback.startCursor(play),
    atEnd,
    ended: atEnd && playback.isComplete(play),
    playing: play.playing,
    newer: lags ? newer : 0,
    elapsedMs: playback.elapsedMs(play),
  };
}

export function Transport() {
  const play = useApp((state) => state.play);
  const position = positionOf(play);
  if (!position) return null;
  const { full, begun, shown, finished, newer, elapsedMs, ...buttons } = position;
  return (
    <section aria-label="Playback" className="transport">
      <Tooltip.Provider delayDuration={300}>
        <Buttons {...buttons} empty={full.rounds.length === 0} />
        <ModeSelect />
      </Tooltip.Provider>
      <Scrubber full={full} begun={begun} shown={shown} finished={finished} />
      <Place begun={begun} total={full.rounds.length} newer={newer} elapsedMs={elapsedMs} />
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

type ButtonsProps = Pick<Position, "atStart" | "atEnd" | "ended" | "playing"> & { readonly empty: boolean };

const Buttons = memo(function Buttons({ atStart, atEnd, ended, playing, empty }: ButtonsProps) {
  const store = useStore();
  const step = (change: (state: Playback) => Playback) => () => store.playback(change);
  return (
    <div className="flex items-center">
      <Button name="Previous round" disabled={atStart} onClick={step((s) => playback.stepRound(s, -1))}>
        <ChevronFirst size={17} aria-hidden />
      </Button>
      <Button name="Previous token" disabled={atStart} onClick={step((s) => playback.stepEvent(s, -1))}>
        <StepBack size={15} aria-hidden />
      </Button>
      {playing ? (
        <Button name="Pause" onClick={step(playback.pause)}>
          <Pause size={17} fill="currentColor" aria-hidden />
        </Button>
      ) : (
        <Button disabled={empty} name={ended ? "Play again" : "Play"} onClick={step(playback.play)}>
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
});

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

interface PlaceProps extends Pick<Position, "begun" | "newer" | "elapsedMs"> {
  readonly total: number;
}

function Place({ begun, total, newer, elapsedMs }: PlaceProps) {
  const store = useStore();
  return (
    <div className="position figures">
      {newer > 0 && (
        <button type="button" className="live-button" onClick={() => store.playback(playback.goLive)}>
          {newer} newer rounds
          <ChevronsRight size={14} aria-hidden />
          <span className="sr-only">, go to the newest</span>
        </button>
      )}
      <span>
        <span className="max-[799px]:sr-only">round </span>
        {Math.min(begun, total)} / {total}
      </span>
      <span className="w-12 text-right">{seconds(elapsedMs)}</span>
    </div>
  );
}
