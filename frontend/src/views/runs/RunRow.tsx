// One run of the list.
import { EllipsisVertical } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { type MouseEvent, useEffect, useRef, useState } from "react";
import { goToAddress, runAddress } from "../../app/places";
import type { StoredRun } from "../../protocol/generated";
import { percent, whole } from "../../words/format";
import { draftWords, endOf, moment, runTitle, speedupWords } from "../../words/runs";

export interface RunActions {
  onChoose(run: StoredRun, on: boolean): void;
  /** Null where runs cannot be changed, as is `onDelete`. */
  readonly onRename: ((id: string, name: string) => Promise<boolean>) | null;
  onSave(run: StoredRun): void;
  readonly onDelete: ((run: StoredRun) => void) | null;
}

interface Props extends RunActions {
  readonly run: StoredRun;
  readonly chosen: boolean;
}

export function RunRow({ run, chosen, onChoose, onRename, onSave, onDelete }: Props) {
  const [naming, setNaming] = useState(false);
  const row = useRef<HTMLTableRowElement>(null);
  const title = runTitle(run);
  const { summary } = run;
  const endNaming = (byKey: boolean) => {
    setNaming(false);
    if (byKey) setTimeout(() => row.current?.querySelector("a")?.focus(), 0);
  };
  return (
    <tr ref={row} data-chosen={chosen || undefined}>
      <td className="run-choice">
        {!summary.sweep && (
          <input
            type="checkbox"
            checked={chosen}
            aria-label={`Compare ${title}`}
            onChange={(event) => onChoose(run, event.target.checked)}
          />
        )}
      </td>
      <th scope="row" className="run-title">
        {naming && onRename ? (
          <NameField run={run} onRename={onRename} onEnd={endNaming} />
        ) : summary.sweep ? (
          <span title={summary.sweep.answer}>{title}</span>
        ) : (
          <RunLink id={run.id} title={title} named={run.name !== null} />
        )}
      </th>
      <td data-label="when">{moment(run.created_ms)}</td>
      <td data-label="draft">{draftWords(summary)}</td>
      <td data-label="tokens" className="is-number">
        {whole(summary.tokens)}
      </td>
      <td data-label="accepted" className="is-number">
        {percent(summary.acceptance_rate)}
      </td>
      <td data-label="speedup" className="is-number" title={summary.unlike ?? undefined}>
        {speedupWords(summary)}
      </td>
      <td data-label="end">{endOf(summary)}</td>
      <td className="run-actions">
        <Actions
          title={title}
          onRename={onRename && (() => setNaming(true))}
          onSave={summary.sweep ? null : () => onSave(run)}
          onDelete={onDelete && (() => onDelete(run))}
        />
      </td>
    </tr>
  );
}

function RunLink({ id, title, named }: { id: string; title: string; named: boolean }) {
  const address = runAddress(id);
  const open = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    goToAddress(address);
  };
  return (
    <a href={address} onClick={open} title={title} data-named={named || undefined}>
      {title}
    </a>
  );
}

interface NameProps {
  readonly run: StoredRun;
  onRename(id: string, name: string): Promise<boolean>;
  /** byKey: whether a key ended it; then the focus goes back to the run. */
  onEnd(byKey: boolean): void;
}

/** Enter, or leaving the field, keeps the name; Escape does not. */
function NameField({ run, onRename, onEnd }: NameProps) {
  const field = useRef<HTMLInputElement>(null);
  const over = useRef(false);
  useEffect(() => {
    // The menu holds the focus until it is closed.
    const timer = setTimeout(() => field.current?.select(), 0);
    return () => clearTimeout(timer);
  }, []);
  const end = async (keep: boolean, byKey: boolean) => {
    if (over.current) return;
    over.current = true;
    const name = field.current?.value ?? "";
    if (keep && name.trim() !== (run.name ?? "")) await onRename(run.id, name);
    onEnd(byKey);
  };
  return (
    <input
      ref={field}
      className="run-name"
      aria-label={`Name of ${runTitle(run)}`}
      defaultValue={run.name ?? ""}
      maxLength={200}
      placeholder="a name; named runs are kept"
      onBlur={() => void end(true, false)}
      onKeyDown={(event) => {
        if (event.key === "Enter") void end(true, true);
        if (event.key === "Escape") void end(false, true);
      }}
    />
  );
}

interface ActionProps {
  readonly title: string;
  readonly onRename: (() => void) | null;
  /** null: there is no trace to save. */
  readonly onSave: (() => void) | null;
  readonly onDelete: (() => void) | null;
}

function Actions({ title, onRename, onSave, onDelete }: ActionProps) {
  const renaming = useRef(false);
  const rename = () => {
    renaming.current = true;
    onRename?.();
  };
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger className="icon-button" aria-label={`Actions for ${title}`}>
        <EllipsisVertical size={16} aria-hidden />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          className="popover p-1!"
          align="end"
          sideOffset={4}
          onCloseAutoFocus={(event) => {
            // The field for the name has the focus, and closes without it.
            if (renaming.current) event.preventDefault();
            renaming.current = false;
          }}
        >
          {onRename && <Entry onSelect={rename}>Rename</Entry>}
          {onSave && <Entry onSelect={onSave}>Save the trace</Entry>}
          {onDelete && <Entry onSelect={onDelete}>Delete…</Entry>}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function Entry({ onSelect, children }: { onSelect(): void; children: string }) {
  return (
    <DropdownMenu.Item
      onSelect={onSelect}
      className="cursor-pointer rounded px-3 py-1.5 outline-none data-highlighted:bg-accent-soft"
    >
      {children}
    </DropdownMenu.Item>
  );
}
