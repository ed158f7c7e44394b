// One notice: what happened, what to do, and a button that dismisses it.
import { TriangleAlert, X } from "lucide-react";
import { Coded } from "../../ui/Coded";

interface Props {
  readonly message: string;
  readonly hint: string;
  onDismiss(): void;
}

export function NoticeBar({ message, hint, onDismiss }: Props) {
  return (
    <div className="flex items-start gap-3 border-b border-line bg-surface px-4 py-2 text-[13px]">
      <TriangleAlert size={16} className="mt-0.5 shrink-0 text-(--status-resampled)" aria-hidden />
      <p className="min-w-0 flex-1 wrap-anywhere">
        <span className="font-medium">
          <Coded text={message} />
        </span>{" "}
        <span className="text-soft">
          <Coded text={hint} />
        </span>
      </p>
      <button type="button" className="icon-button -my-1" onClick={onDismiss} aria-label="Dismiss">
        <X size={15} aria-hidden />
      </button>
    </div>
  );
}
