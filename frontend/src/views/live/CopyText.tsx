import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { useStore } from "../../app/useStore";
import type { Run } from "../../run/model";
import { visibleText } from "../../run/selectors";

export function CopyText({ run }: { run: Run }) {
  const store = useStore();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(run.done?.generated_text ?? visibleText(run));
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      store.notify("The browser does not allow copying.", "Select the text and copy it by hand.");
    }
  };
  const Icon = copied ? Check : Copy;
  return (
    <button
      type="button"
      className="flex items-center gap-1 rounded px-1.5 py-1 hover:bg-line hover:text-text"
      onClick={copy}
    >
      <Icon size={13} aria-hidden />
      {copied ? "copied" : "copy text"}
    </button>
  );
}
