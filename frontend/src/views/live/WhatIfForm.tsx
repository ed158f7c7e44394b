// The controls of "what if". What is not moved stays as the run was.
import { useId } from "react";
import { Disclosure } from "../../controls/Disclosure";
import { ValueSlider } from "../../controls/ValueSlider";
import type { WhatIfQuestion } from "../../protocol/generated";
import { type Segment, Segments } from "../../ui/Segments";
import { fixed, milliseconds } from "../../words/format";
import { policyHelp } from "../../words/policies";
import type { WhatIf } from "./useWhatIf";

type Policy = NonNullable<WhatIfQuestion["policy"]>;
type Rule = "run" | "token" | "block" | "match";

const POLICIES: readonly Segment<Policy>[] = (["fixed", "adaptive", "auto"] as const).map((value) => ({
  value,
  name: value,
  help: policyHelp(value),
}));

const RULES: readonly Segment<Rule>[] = [
  { value: "run", name: "as it was", help: "The rule of the run" },
  { value: "token", name: "token", help: "Each drafted token is tested on its own" },
  { value: "block", name: "block", help: "The whole draft is tested together" },
  { value: "match", name: "match", help: "A drafted token is kept if the target draws the same one" },
];

const LONGEST_RTT_MS = 200;
const LONGEST_DRAFT_MS = 20;
const MOST_SEQUENCES = 64;
const DRAFT_STEP_MS = 0.1;

interface Props {
  readonly whatIf: WhatIf;
  /** The depth whose arithmetic is shown; 0 for plain decoding. */
  readonly depth: number;
  onDepth(depth: number): void;
}

export function WhatIfForm({ whatIf, depth, onDepth }: Props) {
  const { question, answer, change, reset } = whatIf;
  const depths = [0, ...(answer?.choices ?? []).map((choice) => choice.depth)];
  const policy = question.policy ?? "fixed";
  return (
    <div className="wi-form">
      <ValueSlider
        name="Depth K shown"
        range={{ min: 0, max: depths.length - 1, step: 1 }}
        value={Math.max(0, depths.indexOf(depth))}
        shown={depth === 0 ? "plain" : `${depth}`}
        help="The column that is explained"
        disabled={!answer}
        onMove={(at) => onDepth(depths[at] ?? 0)}
      />
      <div className="wi-row">
        <span>Policy</span>
        <Segments
          label="Policy of what if"
          segments={POLICIES}
          value={policy}
          onChoose={(chosen) =>
            change(chosen === "fixed" ? { policy: chosen } : { policy: chosen, batch: 1 })
          }
        />
      </div>
      <div className="wi-row">
        <span>Rule</span>
        <Segments
          label="Rule of what if"
          segments={RULES}
          value={(question.rule as Rule | null | undefined) ?? "run"}
          onChoose={(chosen) => change({ rule: chosen === "run" ? null : chosen })}
        />
      </div>
      <TimeSliders whatIf={whatIf} />
      <BatchSlider whatIf={whatIf} fixedPolicy={policy === "fixed"} />
      <PassTable value={question.passes ?? ""} onChange={(passes) => change({ passes })} />
      <button type="button" className="db-button wi-reset" onClick={reset}>
        As the run was
      </button>
    </div>
  );
}

function TimeSliders({ whatIf: { question, answer, change } }: { whatIf: WhatIf }) {
  const { rtt_ms: ownRtt = 0, draft_ms: ownDraft = 0 } = answer?.own ?? {};
  const rtt = question.rtt_ms ?? ownRtt;
  const draft = question.draft_ms ?? ownDraft;
  const asked = (value: number | null | undefined) => (value == null ? ", measured" : "");
  return (
    <>
      <ValueSlider
        name="Round-trip time"
        range={{ min: 0, max: Math.max(LONGEST_RTT_MS, Math.ceil(ownRtt)), step: 1 }}
        value={rtt}
        shown={`${milliseconds(rtt)}${asked(question.rtt_ms)}`}
        help="The way to the target and back, once a round"
        disabled={!answer}
        onMove={(value) => change({ rtt_ms: value })}
      />
      <ValueSlider
        name="Time of a drafted token"
        range={{ min: 0, max: Math.max(LONGEST_DRAFT_MS, Math.ceil(4 * ownDraft)), step: DRAFT_STEP_MS }}
        value={draft}
        shown={`${fixed(draft, 1)} ms${asked(question.draft_ms)}`}
        help="A faster or a slower drafter with the same drafts"
        disabled={!answer}
        onMove={(value) => change({ draft_ms: value })}
      />
    </>
  );
}

/** Only as many sequences as a measured pass over two tokens of each holds. */
function BatchSlider({ whatIf, fixedPolicy }: { whatIf: WhatIf; fixedPolicy: boolean }) {
  const { question, answer, change } = whatIf;
  const largest = Math.max(0, ...(answer?.passes ?? []).map(({ tokens }) => tokens));
  const most = Math.min(MOST_SEQUENCES, Math.floor(largest / 2));
  const batch = question.batch ?? 1;
  const possible = fixedPolicy && most > 1;
  const help = fixedPolicy
    ? "Sequences that decode together; a table of pass times with more tokens allows more"
    : "Sequences that decode together draft differently deep under this policy, which no record shows";
  return (
    <ValueSlider
      name="Sequences together"
      range={{ min: 1, max: Math.max(2, most, batch), step: 1 }}
      value={batch}
      shown={`${batch}`}
      help={help}
      disabled={!possible && batch === 1}
      onMove={(value) => change({ batch: value })}
    />
  );
}

function PassTable({ value, onChange }: { value: string; onChange(text: string): void }) {
  const id = useId();
  return (
    <Disclosure title="Pass times of another machine" quiet>
      <textarea
        id={id}
        className="paste-box"
        rows={4}
        spellCheck={false}
        aria-label="Pass times of another machine"
        aria-describedby={`${id}-help`}
        placeholder="1:25, 2:36, 4:51"
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      <p id={`${id}-help`} className="wi-note">
        Tokens and milliseconds, or the output of llama-batched-bench or of vllm bench serve.
      </p>
    </Disclosure>
  );
}
