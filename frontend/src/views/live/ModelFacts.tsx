// The facts of the loaded models: what they are, where they compute, and why they are on their runtimes.
import type { ModelInfo, RemoteInfo } from "../../protocol/generated";
import { counted, milliseconds, whole } from "../../words/format";
import { choiceOf, timesOf, weightsOf } from "../../words/models";
import { addressOf, runtimeOf } from "../../words/remote";

interface Row {
  readonly name: string;
  of(model: ModelInfo): string;
}

const FACTS: readonly Row[] = [
  { name: "Name", of: (model) => model.name },
  { name: "Runtime", of: runtimeOf },
  { name: "Computes on", of: (model) => model.computes_on },
  { name: "Weights", of: weightsOf },
  { name: "Parameters", of: (model) => counted(model.parameters) },
  { name: "Context", of: (model) => `${whole(model.context_tokens)} tokens` },
  { name: "Vocabulary", of: (model) => `${whole(model.vocabulary)} rows` },
  { name: "Fingerprint", of: (model) => model.fingerprint },
];

/** Shown if the runtime of a model was chosen by the server. */
const CHOICE: readonly Row[] = [
  { name: "Chosen because", of: choiceOf },
  { name: "Timed passes", of: timesOf },
];

/** The location of each model. The target, which comes last, may be remote. */
function locationRows(remote: RemoteInfo | null, target: ModelInfo | undefined): Row[] {
  if (!remote) return [];
  const location = (model: ModelInfo) =>
    model === target ? `remote: ${addressOf(remote)}` : "in this server";
  const roundTrip = (model: ModelInfo) => (model === target ? milliseconds(remote.rtt_ms) : "none");
  return [
    { name: "Location", of: location },
    { name: "Round trip", of: roundTrip },
  ];
}

/** What is known of each model, one column for each; the target comes last. */
export function ModelFacts({ models, remote }: { models: readonly ModelInfo[]; remote: RemoteInfo | null }) {
  const roles = models.length === 2 ? ["Draft", "Target"] : ["Target"];
  const choice = models.some((model) => model.choice) ? CHOICE : [];
  const location = locationRows(remote, models.at(-1));
  const rows = [...FACTS.slice(0, 1), ...location, ...FACTS.slice(1, 2), ...choice, ...FACTS.slice(2)];
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
        {rows.map(({ name, of }) => (
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
