// The layout of a scene: words at the left, the picture at the right; one below the other on a phone.
import type { ReactNode } from "react";

interface Props {
  readonly lead: string;
  readonly words: ReactNode;
  readonly children: ReactNode;
}

export function Scene({ lead, words, children }: Props) {
  return (
    <div className="scene">
      <div className="scene-words">
        <p className="scene-lead">{lead}</p>
        {words}
      </div>
      <div className="scene-picture">{children}</div>
    </div>
  );
}
