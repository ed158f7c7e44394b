// The state of the page: what the server reported, what the user chose, and what is shown.
import type { Health, SettingsInfo } from "../protocol/generated";
import type { ConnectionStatus } from "../protocol/socket";
import type { Run } from "../run/model";
import type { Playback, PlaybackMode } from "../run/playback";
import { isComplete } from "../run/playback";
import type { Recording } from "../run/recording";
import type { BaselineKind } from "../run/verdict";
import type { Warnings } from "../run/warnings";
import type { Host } from "./environment";
import { EXAMPLES } from "./examples";
import { type Choices, choicesFrom, type Form, formFrom } from "./form";

/** A message to the user: what happened, and what to do. */
export interface Notice {
  readonly id: number;
  readonly message: string;
  readonly hint: string;
}

/** A kept run or a trace file on the page. */
export interface Stored {
  /** Its id; null for a file. */
  readonly id: string | null;
  readonly title: string;
  readonly recording: Recording;
}

/** A run that was on the page, with what the reader had done there. */
export type Judged = Pick<AppState, "selected" | "dismissed"> & { readonly play: Playback };

export interface AppState {
  readonly host: Host;
  readonly connection: ConnectionStatus;
  readonly health: Health | null;
  readonly settings: SettingsInfo | null;
  /** The recording is being fetched, and will be shown. */
  readonly recordingAwaited: boolean;
  readonly recording: Recording | null;
  /** The run on the page, live or recorded; null before the first. */
  readonly play: Playback | null;
  /** Where the run on the page comes from, if it is a kept run or a file; else null. */
  readonly stored: Stored | null;
  /** What waits while a plain run of its prompt, which will judge it, is on the page; null without one. */
  readonly judged: Judged | null;
  readonly mode: PlaybackMode;
  /** What the speedup is relative to, for a remote target. */
  readonly baselineKind: BaselineKind;
  readonly choices: Choices;
  /** Keys of the token under the pointer and of the selected token. */
  readonly hovered: string | null;
  readonly selected: string | null;
  readonly notices: readonly Notice[];
  /** Warnings of the run on the page that the user dismissed. */
  readonly dismissed: Warnings;
}

/** The state before the server answers, with what the browser has stored. */
export function initialState(host: Host, savedMode: unknown, savedChoices: unknown): AppState {
  return {
    host,
    connection: "connecting",
    health: null,
    settings: null,
    recordingAwaited: false,
    recording: null,
    play: null,
    stored: null,
    judged: null,
    mode: savedMode === "paced" || savedMode === "slow" ? savedMode : "real",
    baselineKind: "streaming",
    choices: choicesFrom(savedChoices, EXAMPLES[0].prompt),
    hovered: null,
    selected: null,
    notices: [],
    dismissed: [],
  };
}

export const isRunning = (state: AppState): boolean =>
  state.play?.source === "live" && !isComplete(state.play);
/** Whether the server computes for this page: a run, or the plain run that judges one. */
export const isBusy = (state: AppState): boolean => isRunning(state) || state.judged !== null;
/** The plain run on the page that measures the baseline of the run before it; null without one. */
export const plainRun = ({ judged, play }: AppState): Run | null => (judged && play ? play.full : null);
/** Whether a run is shown while it is computed, as it comes. */
export const isLive = (state: AppState): boolean =>
  isRunning(state) && state.play?.mode === "real" && state.play.following;
/** Whether the page has a server, on which runs can start. */
export const hasServer = ({ host }: AppState): boolean => host === "server";
export const isReady = (state: AppState): boolean => state.health?.status === "ready";

const forms = new WeakMap<Choices, { readonly settings: SettingsInfo | null; readonly form: Form }>();

/** Choices and settings never change as objects, so each pair gives one form, which is computed once. */
export function formOf({ settings, choices }: AppState): Form {
  const known = forms.get(choices);
  if (known?.settings === settings) return known.form;
  const form = formFrom(settings, choices);
  forms.set(choices, { settings, form });
  return form;
}
