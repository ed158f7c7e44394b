import { type RefObject, useLayoutEffect, useRef } from "react";

const NEAR_END_PX = 40;

/** Keeps the end visible while `content` grows, unless the user scrolled away from it. */
export function useFollowEnd(scroller: RefObject<HTMLElement | null>, content: unknown): void {
  const follows = useRef(true);
  const lastTop = useRef(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: content is what grows
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    // The user scrolled up since the last change, so the end is not followed.
    if (element.scrollTop < lastTop.current - 2) follows.current = false;
    const left = element.scrollHeight - element.scrollTop - element.clientHeight;
    if (follows.current) element.scrollTop = element.scrollHeight;
    else if (left < NEAR_END_PX) follows.current = true;
    lastTop.current = element.scrollTop;
  }, [scroller, content]);
}
