// Errors, calmly: what happened and what to do, until dismissed.
import { TriangleAlert, X } from "lucide-react";
import { useApp, useStore } from "../../app/useStore";

export function Notices() {
  const store = useStore();
  const notices = useApp((state) => state.notices);
  return (
    <div role="alert" aria-label="Notices">
      {notices.map(({ id, message, hint }) => (
        <div
          key={id}
          className="flex items-start gap-3 border-b border-line bg-surface px-4 py-2 text-[13px]"
        >
          <TriangleAlert size={16} className="mt-0.5 shrink-0 text-(--status-resampled)" aria-hidden />
          <p className="min-w-0 flex-1">
            <span className="font-medium">{message}</span> <span className="text-soft">{hint}</span>
          </p>
          <button
            type="button"
            className="icon-button -my-1"
            onClick={() => store.dismiss(id)}
            aria-label="Dismiss"
          >
            <X size={15} aria-hidden />
          </button>
        </div>
      ))}
    </div>
  );
}
