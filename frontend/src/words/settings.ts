// The settings that the shown round of a run had, and what changed on the way there.
import type { GrammarInfo, ModelInfo, PenaltiesInfo, Started, Updated } from "../protocol/generated";
import type { Run } from "../run/model";
import { currentSettings, lastChange } from "../run/selectors";
import { modelTitle } from "./models";
import { depthWords } from "./policies";
import { sourceOf } from "./sources";

export interface RunSetting {
  readonly name: string;
  readonly value: string;
  /** "was 4 before round 12"; null if it is as at the start. */
  readonly change: string | null;
}

type At = Pick<Updated, "k" | "nodes" | "drafter" | "sampling">;

/** The draft model by its name, any other drafter by its title. */
const drafterWords =
  (draft: ModelInfo | null) =>
  ({ drafter, k }: At): string => {
    if (k === 0) return "none";
    return drafter === "model" && draft ? modelTitle(draft) : sourceOf(drafter).title;
  };

/** A tree has more tokens than one path of it. */
const treeWords = ({ nodes, k }: At): string => (nodes > k && k > 0 ? `${nodes} tokens` : "none: a chain");

/** The part of a run that its settings are in. */
type Settings = Pick<Run, "started" | "updates">;

function setting(run: Settings, name: string, of: (at: At) => string): RunSetting | null {
  const current: At | null = run.updates.at(-1) ?? run.started;
  if (!current) return null;
  const changed = lastChange(run, of);
  const change = changed && `was ${changed.before} before round ${changed.round + 1}`;
  return { name, value: of(current), change };
}

const fixedSetting = (name: string, value: string): RunSetting => ({ name, value, change: null });

/** Only filters that are on. */
function filters({ sampling }: Started): RunSetting[] {
  return [
    ...(sampling.top_k > 0 ? [fixedSetting("top-k", `${sampling.top_k}`)] : []),
    ...(sampling.top_p < 1 ? [fixedSetting("top-p", `${sampling.top_p}`)] : []),
    ...(sampling.min_p > 0 ? [fixedSetting("min-p", `${sampling.min_p}`)] : []),
    ...(sampling.penalties ? penalties(sampling.penalties) : []),
  ];
}

const GRAMMARS: Readonly<Record<GrammarInfo["kind"], string>> = {
  json_schema: "a JSON schema’s",
  regex: "a regular expression’s",
  lark: "a grammar’s",
  gbnf: "a grammar’s",
};

/** Only those that change a logit. */
function penalties({ presence, frequency, repetition, last_n, bias }: PenaltiesInfo): RunSetting[] {
  const over = last_n === null ? "" : ` over the last ${last_n} tokens`;
  return [
    ...(presence !== 0 ? [fixedSetting("presence penalty", `${presence}`)] : []),
    ...(frequency !== 0 ? [fixedSetting("frequency penalty", `${frequency}`)] : []),
    ...(repetition !== 1 ? [fixedSetting("repetition penalty", `${repetition}${over}`)] : []),
    ...(bias.length > 0 ? [fixedSetting("biased tokens", `${bias.length}`)] : []),
  ];
}

/** What the shown round ran with; empty before the run started. */
export function runSettings(run: Settings): RunSetting[] {
  const { started } = run;
  const current = currentSettings(run);
  if (!started || !current) return [];
  const tree = setting(run, "tree", treeWords);
  const branches = current.nodes > current.k || tree?.change;
  const variable = [
    setting(run, "drafter", drafterWords(started.draft_model)),
    setting(run, "depth", ({ k }) => depthWords(started.policy, k)),
    branches ? tree : null,
    setting(run, "temperature", ({ sampling }) => `${Number(sampling.temperature.toFixed(3))}`),
  ];
  return [
    fixedSetting("target", modelTitle(started.target_model)),
    ...variable.filter((one) => one !== null),
    ...filters(started),
    ...(started.grammar ? [fixedSetting("output", GRAMMARS[started.grammar.kind])] : []),
    fixedSetting("rule", started.rule),
    fixedSetting("seed", Number.isSafeInteger(started.seed) ? `${started.seed}` : "the server’s"),
  ];
}
