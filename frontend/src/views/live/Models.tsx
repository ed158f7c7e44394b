// The models of the shown run, or those that the server has loaded, and where they compute.
import { Cloud } from "lucide-react";
import { Popover } from "radix-ui";
import { Fragment } from "react";
import { draftersInUse } from "../../app/form";
import { type AppState, formOf } from "../../app/state";
import { useApp } from "../../app/useStore";
import type { ModelInfo } from "../../protocol/generated";
import { draftersOf, remoteOf } from "../../run/selectors";
import { modelTitle, quantisationOf } from "../../words/models";
import { isRemote, remoteLocation, runtimeOf } from "../../words/remote";
import { sourceOf } from "../../words/sources";
import { ModelFacts } from "./ModelFacts";

/** The drafters of the shown run, or of the next one, with commas between; empty if the target decodes alone. */
function drafterNames(state: AppState): string {
  const run = state.play?.full;
  if (run?.started) return draftersOf(run).join();
  const chosen = draftersInUse(state.settings, formOf(state));
  return chosen.length > 0 ? chosen.join() : (state.health?.drafter ?? "");
}

export function Models() {
  const started = useApp((state) => state.play?.full.started ?? null);
  const health = useApp((state) => state.health);
  const remote = useApp((state) => (state.play ? remoteOf(state.play.full) : (state.health?.remote ?? null)));
  const names = useApp(drafterNames);
  const drafters = names === "" ? [] : names.split(",");
  const target = started?.target_model ?? health?.target_model;
  const loadedDraft = (started ? started.draft_model : health?.draft_model) ?? null;
  if (!target) return null;
  const draft = drafters.includes("model") ? loadedDraft : null;
  const mixed = draft !== null && runtimeOf(draft) !== runtimeOf(target);
  return (
    <Popover.Root>
      <Popover.Trigger className="models">
        <span className="models-drafters">
          {drafters.map((drafter, at) => (
            <Fragment key={drafter}>
              {at > 0 && <span className="text-[12px] text-soft">or </span>}
              {draft && drafter === "model" ? (
                <Model model={draft} mixed={mixed} />
              ) : (
                <span>{sourceOf(drafter).title}</span>
              )}{" "}
            </Fragment>
          ))}
          {drafters.length > 0 && (
            <>
              <span className="text-[12px] text-soft">drafts for</span>{" "}
            </>
          )}
        </span>
        <Model model={target} mixed={mixed} />
        {(remote || isRemote(target)) && (
          <span className="inline-flex items-center gap-1 self-center text-[12px] whitespace-nowrap text-soft">
            <Cloud size={13} aria-hidden />
            {remote ? remoteLocation(remote) : "remote"}
          </span>
        )}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover is-wide" align="end" sideOffset={8} aria-label="Models">
          <ModelFacts models={draft ? [draft, target] : [target]} remote={remote} />
          {started?.translated && draft && (
            <p className="mt-2">The vocabularies differ: q is restricted to the tokens of both.</p>
          )}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

function Model({ model, mixed }: { model: ModelInfo; mixed: boolean }) {
  const parts = [quantisationOf(model), mixed && runtimeOf(model)];
  return (
    <span className="whitespace-nowrap">
      {modelTitle(model)} <span className="text-[11px] text-faint">{parts.filter(Boolean).join(", ")}</span>
    </span>
  );
}
