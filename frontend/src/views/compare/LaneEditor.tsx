// One lane of the next race: its target, what drafts, and how deep.
import { X } from "lucide-react";
import { useId } from "react";
import {
  DEEPEST,
  depthOf,
  draftersOf,
  kindOf,
  raceTargets,
  withDepth,
  withKind,
  withTarget,
} from "../../app/lanes";
import { useApp } from "../../app/useStore";
import { isPlain, type LaneSettings } from "../../run/race";
import { modelWords } from "../../words/models";
import { sourceOf } from "../../words/sources";

interface Props {
  readonly number: number;
  readonly lane: LaneSettings;
  onChange(lane: LaneSettings): void;
  /** Null if no lane can be removed. */
  readonly onRemove: (() => void) | null;
}

const DEPTHS = Array.from({ length: DEEPEST }, (_, at) => at + 1);

export function LaneEditor({ number, lane, onChange, onRemove }: Props) {
  const id = useId();
  const settings = useApp((state) => state.settings);
  const own = useApp((state) => state.health?.target_model ?? null);
  const targets = raceTargets(settings);
  const names = draftersOf(lane.target, settings);
  const drafters = settings?.drafters.filter(({ name }) => names.includes(name)) ?? [];
  const known = drafters.some(({ name }) => name === lane.drafter);
  const hasDepth = lane.policy === "fixed" && !isPlain(lane);
  return (
    <fieldset className="lane-editor">
      <legend>Lane {number}</legend>
      {targets.length > 0 && (
        <select
          className="select-box lane-target"
          aria-label={`Target of lane ${number}`}
          value={lane.target ?? ""}
          onChange={({ target: { value } }) => onChange(withTarget(lane, value || undefined, settings))}
        >
          <option value="">{own ? `${modelWords(own)} (loaded)` : "the loaded target"}</option>
          {targets.map(({ name, title, reason }) => (
            <option key={name} value={name} disabled={reason !== null}>
              {reason === null ? title : `${title} (not available)`}
            </option>
          ))}
        </select>
      )}
      <label htmlFor={`${id}-kind`} className="sr-only">
        Drafter of lane {number}
      </label>
      <select
        id={`${id}-kind`}
        className="select-box"
        value={kindOf(lane)}
        onChange={(event) => onChange(withKind(lane, event.target.value))}
      >
        <option value="plain">plain: the target alone</option>
        <option value="auto">auto: chooses drafter and depth</option>
        {lane.drafter !== null && !known && (
          <option value={lane.drafter}>{sourceOf(lane.drafter).title}</option>
        )}
        {drafters.map(({ name, title }) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      {hasDepth && (
        <label className="lane-depth">
          K
          <select
            className="select-box"
            aria-label={`Depth K of lane ${number}`}
            value={depthOf(lane)}
            onChange={(event) => onChange(withDepth(lane, Number(event.target.value)))}
          >
            {DEPTHS.map((k) => (
              <option key={k} value={k}>
                {k}
              </option>
            ))}
          </select>
        </label>
      )}
      {onRemove && (
        <button type="button" className="icon-button" aria-label={`Remove lane ${number}`} onClick={onRemove}>
          <X size={15} aria-hidden />
        </button>
      )}
    </fieldset>
  );
}
