import {
  type FocusEvent,
  type KeyboardEvent,
  type MouseEvent,
  type PointerEvent,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { useApp, useStore } from "../../app/useStore";
import { siblingInfoIn } from "../../run/branches";
import type { Run } from "../../run/model";
import { tokenByKey } from "../../run/selectors";
import { mayContain, type TextBlocks, textBlocks } from "../../run/text";
import { useFollowEnd } from "../../ui/useFollowEnd";
import { nextTokenKey } from "./navigation";
import { BlockText } from "./TextBlock";
import { TokenCard } from "./TokenCard";

const elementOf = (target: EventTarget): HTMLElement | null =>
  target instanceof Element ? target.closest<HTMLElement>("[data-key]") : null;

/** The token under the pointer or the focus, and its box, next to which the card appears. */
interface Anchor {
  readonly key: string;
  readonly box: DOMRect;
}

export function TextFlow({ run, showRejected }: { run: Run; showRejected: boolean }) {
  const store = useStore();
  const hovered = useApp((state) => state.hovered);
  const selected = useApp((state) => state.selected);
  const [anchor, setAnchor] = useState<Anchor | null>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const blocks = useTextBlocks(run, showRejected);
  useFollowEnd(scroller, content);
  useRevealed(scroller, selected);

  const point = (element: HTMLElement | null) => {
    const key = element?.dataset.key ?? null;
    const box = element?.getClientRects()[0];
    store.hover(key);
    setAnchor(key !== null && box ? { key, box } : null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const key = elementOf(event.target)?.dataset.key;
    if (!key) return;
    if (event.key === "Enter" || event.key === " ") store.select(key);
    else if (event.key === "Escape") store.select(null);
    else {
      const next = nextTokenKey(run, key, event.key);
      if (next === null) return;
      scroller.current?.querySelector<HTMLElement>(`[data-key="${next}"]`)?.focus();
    }
    event.preventDefault();
  };
  const tabStop = tokenByKey(run, focused ?? selected)?.key ?? firstKey(run);
  const pointed = anchor?.key === hovered ? tokenByKey(run, hovered) : null;
  return (
    <div className="text-scroll" ref={scroller} onScroll={() => anchor && setAnchor(null)}>
      <div
        ref={content}
        role="listbox"
        aria-label="Generated tokens; arrow keys move between them"
        tabIndex={-1}
        className="text-flow"
        onPointerOver={(event: PointerEvent) =>
          event.pointerType !== "touch" && point(elementOf(event.target))
        }
        onPointerLeave={() => point(null)}
        onClick={(event: MouseEvent) => {
          const key = elementOf(event.target)?.dataset.key ?? null;
          if (key !== null) store.select(key === selected ? null : key);
        }}
        onFocus={(event: FocusEvent) => {
          const element = elementOf(event.target);
          setFocused(element?.dataset.key ?? null);
          if (element?.matches(":focus-visible")) point(element);
        }}
        onBlur={() => point(null)}
        onKeyDown={onKeyDown}
      >
        {blocks.map((block) => {
          // Only the block that contains a marked token renders again.
          const within = (key: string | null) => (key !== null && mayContain(block, key) ? key : null);
          return (
            <BlockText
              key={block.lines[0]?.[0]?.key}
              lines={block.lines}
              hovered={within(hovered)}
              selected={within(selected)}
              tabStop={within(tabStop)}
            />
          );
        })}
        {run.done?.text_tail}
      </div>
      {pointed && anchor && hovered !== selected && (
        <TokenCard token={pointed} siblingInfo={siblingInfoIn(run, pointed)} anchor={anchor.box} />
      )}
    </div>
  );
}

/** The blocks of the text; those that did not change since the last frame are the same objects. */
function useTextBlocks(run: Run, showRejected: boolean): TextBlocks["blocks"] {
  const before = useRef<TextBlocks | null>(null);
  const text = useMemo(() => textBlocks(run, showRejected, before.current), [run, showRejected]);
  useLayoutEffect(() => {
    before.current = text;
  }, [text]);
  return text.blocks;
}

const firstKey = (run: Run): string | null =>
  run.rounds.find((round) => round.emitted.length > 0)?.emitted[0]?.key ?? null;

/** Scrolls to a token that was selected in another panel, without scrolling the page. */
function useRevealed(scroller: RefObject<HTMLDivElement | null>, key: string | null): void {
  useEffect(() => {
    const frame = scroller.current;
    const token = key === null ? null : frame?.querySelector(`[data-key="${key}"]`);
    if (!frame || !token) return;
    const outer = frame.getBoundingClientRect();
    const inner = token.getBoundingClientRect();
    if (inner.top < outer.top || inner.bottom > outer.bottom) {
      frame.scrollTop += inner.top - outer.top - frame.clientHeight / 2;
    }
  }, [scroller, key]);
}
