// The entry of the drafters' list that leaves the choice to the policy `auto`.
import type { DrafterInfo, SettingsInfo } from "../protocol/generated";

/** Its name; no drafter has it. */
export const AUTO = "auto";

const RESTRICTED = "A run keeps to a drafter that was chosen for it. Choose this before the next run.";

/** "A, B or C" */
function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} or ${last}`;
}

/** `restricted`: a run goes on whose drafter was chosen, which cannot be taken back. */
export function autoEntry({ drafters, auto_drafters }: SettingsInfo, restricted: boolean): DrafterInfo {
  const titles = auto_drafters.map((name) => drafters.find((entry) => entry.name === name)?.title ?? name);
  const help = titles.length > 0 ? `${listed(titles)}, whichever is expected to pay, or no draft.` : "";
  const reason = restricted ? RESTRICTED : titles.length > 0 ? null : "No drafter is available.";
  return {
    name: AUTO,
    title: "Chosen by auto",
    help,
    paper: "",
    trees: false,
    available: reason === null,
    reason,
  };
}
