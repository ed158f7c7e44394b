import { Dices } from "lucide-react";
import { useId, useState } from "react";
import { LARGEST_SEED } from "../app/seed";
import { formOf, isRunning } from "../app/state";
import { useApp, useStore } from "../app/useStore";

const HELP = "The same seed, settings and models give the same tokens.";
const SERVERS = "The server's own seed, which this field cannot hold. Type a number to use another one.";

export function SeedField() {
  const store = useStore();
  const seed = useApp((state) => formOf(state).seed);
  const running = useApp(isRunning);
  const id = useId();
  // While it is edited, the field may be empty.
  const [edited, setEdited] = useState<string | null>(null);
  const edit = (text: string, value: number) => {
    setEdited(text);
    if (text === "") store.choose({ seed: null });
    else if (Number.isFinite(value)) store.choose({ seed: value });
  };
  return (
    <div className="flex items-center justify-between gap-2 text-[13px]">
      <label htmlFor={id} className="text-soft" title={HELP}>
        Seed
      </label>
      <span className="flex items-center gap-1">
        <input
          id={id}
          type="number"
          min={0}
          max={LARGEST_SEED}
          step={1}
          value={edited ?? seed ?? ""}
          placeholder="the server’s"
          title={seed === null ? SERVERS : HELP}
          disabled={running}
          className="seed-box figures"
          onChange={({ target }) => edit(target.value, target.valueAsNumber)}
          onBlur={() => setEdited(null)}
        />
        <button
          type="button"
          className="icon-button"
          disabled={running}
          aria-label="Another seed"
          onClick={() => store.choose({ seed: Math.floor(Math.random() * 1_000_000) })}
        >
          <Dices size={16} aria-hidden />
        </button>
      </span>
    </div>
  );
}
