// A plan of the policy `auto`: what was expected, hatched, and what the round then measured, solid.
import type { Metrics } from "../protocol/generated";
import { measuredWords, planReason, unitWords } from "../words/plan";
import "./plan-note.css";

/** Nothing for a round that was planned without a reason. */
export function PlanNote({ metrics }: { metrics: Metrics }) {
  const { plan } = metrics;
  if (!plan) return null;
  return (
    <dl className="plan-note">
      <div>
        <dt>
          <span className="plan-mark is-expected" aria-hidden="true" />
          expected
        </dt>
        <dd>
          {planReason(plan)} <span className="plan-unit">{unitWords(plan)}</span>
        </dd>
      </div>
      <div>
        <dt>
          <span className="plan-mark" aria-hidden="true" />
          measured
        </dt>
        <dd>{measuredWords(metrics)}</dd>
      </div>
    </dl>
  );
}
