// Words of the road not taken: what the drafter writes alone after a rejected token.
import type { AloneText, Health } from "../protocol/generated";
import type { Run, Token } from "../run/model";
import { fixed, milliseconds, plural, shownInText } from "./format";

export const ROAD_TITLE = "The road not taken";
export const ROADS_LEAD =
  "Every token below was drafted and rejected. Choose one to see how the text would go on if the drafter wrote it alone, beside what the target wrote.";

export const roadLead = ({ label }: Token): string =>
  `The target rejected “${shownInText(label)}”. Let the drafter write on from it, without the target.`;

const NO_SERVER = "This needs a server with the models. Start SpeculatoViz, and run the prompt there.";
const NO_DIGEST =
  "This run comes from an earlier version, so its prompt cannot be checked. Run the prompt again.";
const BUSY = "Wait for the end of the run.";

/** Why the drafter cannot write on; null if it can. obstacle: of every run on the server. */
export function roadObstacle(
  run: Run,
  health: Health | null,
  server: boolean,
  busy: boolean,
  obstacle: string | null,
): string | null {
  if (!server) return NO_SERVER;
  if (obstacle !== null) return obstacle;
  if (busy) return BUSY;
  if (run.started?.prompt_digest == null) return NO_DIGEST;
  const [own, loaded] = [run.started.target_model.name, health?.target_model?.name];
  if (loaded !== undefined && loaded !== own)
    return `The run was made with ${own}, and the server has loaded ${loaded}.`;
  const [draft, now] = [run.started.draft_model?.name, health?.draft_model?.name];
  if (draft !== undefined && now !== undefined && draft !== now)
    return `The run drafted with ${draft}, and the server drafts with ${now}.`;
  return null;
}

/** What the drafter's text is, and what it is not. */
export function roadNote({ drafter, model, tokens, ended, draft_ms }: AloneText, token: Token): string {
  const source = token.draft?.source;
  const other = source !== undefined && source !== drafter ? ` The rejected token came from ${source}.` : "";
  const end = ended ? ", up to its end token" : "";
  const rate = draft_ms > 0 ? `, ${fixed((1000 * tokens.length) / draft_ms, 0)} tokens a second` : "";
  const writer = model ?? drafter;
  return `${plural(tokens.length, "token")} by ${writer} alone${end}, in ${milliseconds(draft_ms)}${rate}. No target verified them, and they are no part of the run.${other}`;
}
