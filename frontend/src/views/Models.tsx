// Which models speculate in what is shown, or else those that the server has loaded; and where each computes.
import { Popover } from "radix-ui";
import type { ModelInfo } from "../protocol/generated";
import { bytes, counted } from "../state/format";
import { inForce, modelTitle } from "../state/selectors";
import { type AppState, formOf } from "../state/store";
import { useApp } from "../state/useStore";

/** Who drafts in what is shown, or else in the run that would come next; null where the target decodes alone. */
function drafterOf(state: AppState): string | null {
  const run = state.play?.full;
  const current = run && inForce(run);
  if (!current) return formOf(state).drafter ?? state.health?.drafter ?? null;
  return current.k === 0 ? null : current.drafter;
}

export function Models() {
  const started = useApp((state) => state.play?.full.started ?? null);
  const health = useApp((state) => state.health);
  const drafter = useApp(drafterOf);
  const drafterTitle = useApp(
    (state) => state.settings?.drafters.find(({ name }) => name === drafter)?.title.toLowerCase() ?? drafter,
  );
  const target = started?.target_model ?? health?.target_model;
  const loadedDraft = (started ? started.draft_model : health?.draft_model) ?? null;
  if (!target) return null;
  const draft = drafter === "model" ? loadedDraft : null;
  const mixed = draft !== null && draft.runtime !== target.runtime;
  return (
    <Popover.Root>
      <Popover.Trigger className="models">
        {drafter !== null && (
          <>
            {draft ? <Model model={draft} mixed={mixed} /> : drafterTitle}{" "}
            <span className="text-[12px] text-soft">drafts for</span>{" "}
          </>
        )}
        <Model model={target} mixed={mixed} />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover is-wide" align="end" sideOffset={8} aria-label="Models">
          <Facts models={draft ? [draft, target] : [target]} />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

function Model({ model, mixed }: { model: ModelInfo; mixed: boolean }) {
  return (
    <span className="whitespace-nowrap">
      {modelTitle(model)}{" "}
      <span className="text-[11px] text-faint">
        {model.quantisation}
        {mixed && `, ${model.runtime}`}
      </span>
    </span>
  );
}

const whole = (value: number) => value.toLocaleString("en-GB");

const FACTS: readonly { name: string; of: (model: ModelInfo) => string }[] = [
  { name: "Name", of: (model) => model.name },
  { name: "Runtime", of: (model) => model.runtime },
  { name: "Computes on", of: (model) => model.computes_on },
  { name: "Weights", of: (model) => `${model.quantisation}, ${bytes(model.size_bytes)}` },
  { name: "Parameters", of: (model) => counted(model.parameters) },
  { name: "Context", of: (model) => `${whole(model.context_tokens)} tokens` },
  { name: "Vocabulary", of: (model) => `${whole(model.vocabulary)} rows` },
  { name: "Fingerprint", of: (model) => model.fingerprint },
];

function Facts({ models }: { models: readonly ModelInfo[] }) {
  const roles = models.length === 2 ? ["Draft", "Target"] : ["Target"];
  return (
    <table className="model-facts">
      <thead>
        <tr>
          <td />
          {roles.map((role) => (
            <th key={role} scope="col">
              {role}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {FACTS.map(({ name, of }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {models.map((model, index) => (
              <td key={roles[index]}>{of(model)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
