import { type RefObject, useEffect } from "react";

const NEAR_END_PX = 40;

/**
 * Keeps the end of `content` visible while it grows, unless the reader scrolled away from it. Positions are read after the
 * browser's own layout, in an observer and in scroll events, so that no layout is forced while the page is drawn.
 */
export function useFollowEnd(
  scroller: RefObject<HTMLElement | null>,
  content: RefObject<HTMLElement | null>,
): void {
  useEffect(() => {
    const frame = scroller.current;
    const inner = content.current;
    if (!frame || !inner) return;
    let follows = true;
    let lastTop = frame.scrollTop;
    const onScroll = () => {
      const top = frame.scrollTop;
      if (frame.scrollHeight - top - frame.clientHeight < NEAR_END_PX) follows = true;
      else if (top < lastTop - 2) follows = false;
      lastTop = top;
    };
    const observer = new ResizeObserver(() => {
      if (follows) frame.scrollTop = frame.scrollHeight;
    });
    observer.observe(inner);
    observer.observe(frame);
    frame.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      observer.disconnect();
      frame.removeEventListener("scroll", onScroll);
    };
  }, [scroller, content]);
}
