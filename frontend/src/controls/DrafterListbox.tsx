// A list of all drafters, with the reason for each that is not available. The keyboard does not reach disabled options
// of a native list, so their reasons could not be read there.
import { Check, ChevronDown, ChevronUp } from "lucide-react";
import { Select } from "radix-ui";
import type { KeyboardEvent, SyntheticEvent } from "react";
import type { DrafterInfo } from "../protocol/generated";
import { Coded } from "../ui/Coded";

interface Props {
  readonly id: string;
  readonly drafters: readonly DrafterInfo[];
  readonly chosen: string | null;
  readonly describedBy: string | undefined;
  onChoose(name: string): void;
}

export function DrafterListbox({ id, drafters, chosen, describedBy, onChoose }: Props) {
  const usable = drafters.filter(({ available }) => available);
  const missing = drafters.filter(({ available }) => !available);
  // Typing a name while the list is closed would choose an unavailable drafter.
  const choose = (name: string) => usable.some((drafter) => drafter.name === name) && onChoose(name);
  const title = drafters.find(({ name }) => name === chosen)?.title;
  return (
    <Select.Root value={chosen ?? ""} onValueChange={choose} disabled={usable.length === 0}>
      <Select.Trigger id={id} className="select-box drafter-trigger" aria-describedby={describedBy}>
        <Select.Value>{title}</Select.Value>
        <ChevronDown size={14} aria-hidden />
      </Select.Trigger>
      <Select.Portal>
        <Select.Content
          className="popover drafter-list"
          aria-label="Drafters"
          position="popper"
          align="end"
          sideOffset={6}
          collisionPadding={12}
        >
          <Select.ScrollUpButton className="drafter-more">
            <ChevronUp size={14} />
          </Select.ScrollUpButton>
          <Select.Viewport>
            {usable.map((drafter) => (
              <Entry key={drafter.name} drafter={drafter} />
            ))}
            {missing.length > 0 && (
              <Select.Group>
                <Select.Label className="drafter-group">Not available here</Select.Label>
                {missing.map((drafter) => (
                  <Entry key={drafter.name} drafter={drafter} />
                ))}
              </Select.Group>
            )}
          </Select.Viewport>
          <Select.ScrollDownButton className="drafter-more">
            <ChevronDown size={14} />
          </Select.ScrollDownButton>
        </Select.Content>
      </Select.Portal>
    </Select.Root>
  );
}

const stop = (event: SyntheticEvent) => event.preventDefault();
const stopChoice = (event: KeyboardEvent) => (event.key === "Enter" || event.key === " ") && stop(event);
/** It takes the focus like the others and cannot be chosen. */
const UNAVAILABLE = {
  "aria-disabled": true,
  onClick: stop,
  onPointerUp: stop,
  onKeyDown: stopChoice,
} as const;

function Entry({ drafter }: { drafter: DrafterInfo }) {
  const { name, title, help, available, reason } = drafter;
  // Its name is its whole text. With the title alone, a screen reader would leave the reason out.
  return (
    <Select.Item
      value={name}
      className="drafter-entry"
      aria-labelledby={undefined}
      {...(available ? {} : UNAVAILABLE)}
    >
      <span className="flex items-center justify-between gap-2 font-medium">
        <Select.ItemText>{title}</Select.ItemText>{" "}
        <Select.ItemIndicator>
          <Check size={14} aria-hidden />
        </Select.ItemIndicator>
      </span>
      <span className="drafter-help">{help}</span>{" "}
      {reason !== null && (
        <span className="drafter-reason">
          <Coded text={reason} />
        </span>
      )}
    </Select.Item>
  );
}
