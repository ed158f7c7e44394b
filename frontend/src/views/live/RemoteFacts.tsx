// A remote target: its address, how it verifies, and the findings of the probe.
import { TriangleAlert } from "lucide-react";
import type { RemoteInfo } from "../../protocol/generated";
import { modeOf, remoteFacts } from "../../words/remote";

export function Warning({ words }: { words: string }) {
  return (
    <p className="warning">
      <TriangleAlert size={15} aria-hidden />
      <span>
        <strong>Warning.</strong> {words}
      </span>
    </p>
  );
}

export function RemoteFacts({ remote }: { remote: RemoteInfo }) {
  const mode = modeOf(remote);
  return (
    <section aria-label="Remote target" className="remote-facts">
      <h3>Remote target</h3>
      <dl>
        <div>
          <dt>Mode</dt>
          <dd>
            <strong>{mode.name}</strong>
            {mode.words && `: ${mode.words}`}
          </dd>
        </div>
        {remoteFacts(remote).map(({ term, value, help }) => (
          <div key={term} title={help}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {remote.findings.length > 0 && (
        <>
          <h3>Findings</h3>
          <dl>
            {remote.findings.map(({ question, answer }) => (
              <div key={question}>
                <dt>{question}</dt>
                <dd>{answer}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
    </section>
  );
}
