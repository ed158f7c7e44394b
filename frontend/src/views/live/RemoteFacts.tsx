// Where a target elsewhere is, how it verifies, and what was found out about it.
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
    <section aria-label="The target elsewhere" className="remote-facts">
      <h3>The target is elsewhere</h3>
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
          <h3>What was found out about it</h3>
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
