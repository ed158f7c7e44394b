import { RovingFocus } from "radix-ui/internal";
import { useId } from "react";
import { EXAMPLES } from "../app/examples";
import { useApp, useStore } from "../app/useStore";

/** `onSubmit`: Enter with Ctrl or ⌘. */
export function PromptBox({ onSubmit }: { onSubmit(): void }) {
  const store = useStore();
  const prompt = useApp((state) => state.choices.prompt);
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="panel-title">
        Prompt
      </label>
      <textarea
        id={id}
        className="prompt-box"
        rows={5}
        value={prompt}
        placeholder="Write a prompt, or choose an example."
        onChange={(event) => store.choose({ prompt: event.target.value })}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
          event.preventDefault();
          onSubmit();
        }}
      />
      {/* One tab stop: the arrow keys move between them. */}
      <RovingFocus.Root asChild loop>
        <fieldset className="mt-1.5 flex flex-wrap gap-1.5">
          <legend className="sr-only">Example prompts</legend>
          {EXAMPLES.map((example) => (
            <RovingFocus.Item key={example.name} asChild>
              <button
                type="button"
                className="chip"
                title={example.prompt}
                aria-pressed={prompt === example.prompt}
                onClick={() => store.choose({ prompt: example.prompt })}
              >
                {example.name}
              </button>
            </RovingFocus.Item>
          ))}
        </fieldset>
      </RovingFocus.Root>
    </div>
  );
}
