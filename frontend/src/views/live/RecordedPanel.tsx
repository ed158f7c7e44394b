// In place of the form where no server can run a prompt: the prompt of the shown run, and how to start a server.
import { useId } from "react";
import { useApp } from "../../app/useStore";
import { RUN_COMMAND, RUN_IT } from "../../words/recorded";
import "../../controls/controls.css";

export function RecordedPanel() {
  const id = useId();
  const prompt = useApp((state) => state.play?.full.started?.prompt ?? "");
  return (
    <div className="flex flex-col gap-4 p-4">
      <div>
        <label htmlFor={id} className="panel-title">
          Prompt
        </label>
        <textarea id={id} className="prompt-box" rows={10} readOnly value={prompt} />
      </div>
      <p className="text-[13px] text-soft">
        {RUN_IT} <code className="whitespace-nowrap">{RUN_COMMAND}</code>.
      </p>
      <p className="text-[12px] text-faint">
        Every figure on this page is measured. The baseline is plain decoding: the same target alone.
      </p>
    </div>
  );
}
