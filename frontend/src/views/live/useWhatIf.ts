// Asks the server what a kept run would have been. One question at a time: while it is answered, only the newest waits.
import { useCallback, useEffect, useRef, useState } from "react";
import { ServerError } from "../../protocol/ask";
import type { WhatIfAnswer, WhatIfQuestion } from "../../protocol/generated";
import { askWhatIf } from "../../protocol/keptRuns";

/** Between the last move of a slider and the question. */
const PAUSE_MS = 150;

export interface WhatIf {
  readonly question: WhatIfQuestion;
  /** The last one that came; null before the first. */
  readonly answer: WhatIfAnswer | null;
  /** Why the newest question has no answer. */
  readonly fault: ServerError | null;
  /** Whether a newer question has no answer yet. */
  readonly waiting: boolean;
  change(part: WhatIfQuestion): void;
  reset(): void;
}

const AS_IT_WAS: WhatIfQuestion = {};

export function useWhatIf(run: string): WhatIf {
  const [question, setQuestion] = useState(AS_IT_WAS);
  const [found, setFound] = useState<{
    asked: WhatIfQuestion | null;
    answer: WhatIfAnswer | null;
    fault: ServerError | null;
  }>({ asked: null, answer: null, fault: null });
  const newest = useRef(question);
  const asking = useRef(false);
  const left = useRef(false);

  const askAll = useCallback(async () => {
    if (asking.current) return;
    asking.current = true;
    let asked: WhatIfQuestion | null = null;
    while (asked !== newest.current && !left.current) {
      const now: WhatIfQuestion = newest.current;
      asked = now;
      try {
        const answer = await askWhatIf(run, now);
        if (!left.current) setFound({ asked: now, answer, fault: null });
      } catch (error) {
        const fault =
          error instanceof ServerError
            ? error
            : new ServerError("The answer cannot be read.", "Reload the page.");
        if (!left.current) setFound(({ answer }) => ({ asked: now, answer, fault }));
      }
    }
    asking.current = false;
  }, [run]);

  useEffect(() => {
    newest.current = question;
    const timer = setTimeout(() => void askAll(), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [question, askAll]);
  useEffect(() => {
    left.current = false;
    return () => {
      left.current = true;
    };
  }, []);

  return {
    question,
    answer: found.answer,
    fault: found.asked === question ? found.fault : null,
    waiting: found.asked !== question,
    change: (part) => setQuestion((before) => ({ ...before, ...part })),
    reset: () => setQuestion(AS_IT_WAS),
  };
}
