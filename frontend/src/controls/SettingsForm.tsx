import { formOf } from "../app/state";
import { useApp } from "../app/useStore";
import { fixed } from "../words/format";
import { ChangeNote } from "./ChangeNote";
import { Disclosure } from "./Disclosure";
import { DrafterSelect } from "./DrafterSelect";
import { NumberSlider } from "./NumberSlider";
import { AcceptanceNote, PassTimes } from "./PassTimes";
import { PolicyChoice } from "./PolicyChoice";
import { RuleSelect } from "./RuleSelect";
import { SeedField } from "./SeedField";
import { ShadowChoice } from "./ShadowChoice";

export function SettingsForm() {
  return (
    <div className="flex flex-col gap-3.5">
      <PolicyChoice />
      <Depth />
      <PassTimes />
      <TreeSize />
      <NumberSlider
        field="temperature"
        name="Temperature"
        show={(value) => (value === 0 ? "0 (greedy)" : fixed(value))}
        note={<ChangeNote field="temperature" />}
      />
      <NumberSlider field="max_tokens" name="Max tokens" show={String} />
      <NumberSlider field="top_p" name="Top-p" show={(value) => (value === 1 ? "1 (off)" : fixed(value))} />
      <DrafterSelect
        note={
          <>
            <ChangeNote field="drafter" />
            <AcceptanceNote />
          </>
        }
      />
      <RuleSelect />
      <ShadowChoice />
      <Disclosure title="More sampling settings">
        <div className="flex flex-col gap-3.5">
          <NumberSlider field="top_k" name="Top-k" show={(value) => (value === 0 ? "off" : String(value))} />
          <NumberSlider field="min_p" name="Min-p" show={(value) => (value === 0 ? "off" : fixed(value))} />
          <SeedField />
        </div>
      </Disclosure>
    </div>
  );
}

/** The depth of every round, or the largest one where the policy chooses it. */
function Depth() {
  const policy = useApp((state) => formOf(state).policy);
  const left = useApp((state) => formOf(state).depth === null);
  const note = <ChangeNote field="k" />;
  if (policy === "fixed") return <NumberSlider field="k" name="Depth K" show={String} note={note} />;
  const show = (k: number) => (left ? `chosen by ${policy}` : `at most ${k}`);
  return <NumberSlider field="deepest" name="Largest depth" show={show} by={policy} note={note} />;
}

/** Shown if the drafter drafts trees and the rule verifies them. Up to the depth, the draft is a chain. */
function TreeSize() {
  const trees = useApp((state) => formOf(state).trees);
  const depth = useApp((state) => formOf(state).numbers.k);
  if (!trees) return null;
  const show = (nodes: number) => (nodes <= depth ? `${nodes} (chain)` : `${nodes} tokens`);
  return <NumberSlider field="nodes" name="Tree size" show={show} note={<ChangeNote field="nodes" />} />;
}
