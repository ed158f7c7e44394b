// Copies an address that fills the form with this prompt and these settings.
import { Check, Link2 } from "lucide-react";
import { useEffect, useState } from "react";
import { LONGEST_LINK, linkOf } from "../app/link";
import { addressOf } from "../app/places";
import { formOf } from "../app/state";
import { useStore } from "../app/useStore";

const SHOWN_MS = 1500;

export function CopyFormLink() {
  const store = useStore();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    const link = location.origin + addressOf("live") + linkOf(formOf(store.get()));
    if (link.length > LONGEST_LINK) {
      store.notify(
        "Prompt and predicted output are too long for a link.",
        "Save the trace of its run instead, and send that.",
      );
      return;
    }
    try {
      await navigator.clipboard.writeText(link);
      setCopied(true);
    } catch {
      store.notify(
        "The browser does not allow copying.",
        "Allow it for this page, then copy the link again.",
      );
    }
  };
  const Icon = copied ? Check : Link2;
  return (
    <button
      type="button"
      onClick={() => void copy()}
      title="Copy a link that fills this form with the prompt and the settings"
      className="inline-flex min-h-6 items-center gap-1.5 rounded-md px-1 text-[12px] font-medium text-accent hover:bg-accent-soft"
    >
      <Icon size={14} aria-hidden />
      {copied ? "Link copied" : "Copy link to this form"}
    </button>
  );
}
