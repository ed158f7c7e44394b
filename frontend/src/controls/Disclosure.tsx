// Content that is hidden until the user opens it.
import { ChevronRight } from "lucide-react";
import type { ReactNode } from "react";

interface Props {
  readonly title: ReactNode;
  /** Smaller and fainter: a note to a setting. */
  readonly quiet?: boolean;
  readonly children: ReactNode;
}

export function Disclosure({ title, quiet = false, children }: Props) {
  const look = quiet ? "text-[12px] text-faint" : "text-[13px] text-soft";
  return (
    <details className={quiet ? "group mt-1" : "group"}>
      <summary className={`flex list-none items-center gap-1 hover:text-text ${look}`}>
        <ChevronRight
          size={quiet ? 12 : 14}
          aria-hidden
          className="flex-none transition-transform group-open:rotate-90"
        />
        {title}
      </summary>
      <div className={quiet ? "mt-1.5 pl-4" : "mt-3"}>{children}</div>
    </details>
  );
}
