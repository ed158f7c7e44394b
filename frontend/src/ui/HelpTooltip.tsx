// A term with an explanation on hover, focus and tap.
import { Tooltip } from "radix-ui";
import { RovingFocus } from "radix-ui/internal";
import { memo, type ReactNode, useState } from "react";
import { useIsGrouped } from "./HelpGroup";
import "./help-tooltip.css";

interface Props {
  readonly help: ReactNode;
  readonly children: ReactNode;
  readonly className?: string;
  readonly label?: string;
}

/** Terms are words, mostly the same in every round, so most of them render once. */
export const HelpTooltip = memo(function HelpTooltip({ help, children, className = "", label }: Props) {
  const [open, setOpen] = useState(false);
  const trigger = (
    <Tooltip.Trigger
      type="button"
      className={`help-tooltip ${className}`}
      aria-label={label}
      onPointerDown={(event) => event.preventDefault()}
      onClick={(event) => {
        event.preventDefault();
        setOpen(true);
      }}
    >
      {children}
    </Tooltip.Trigger>
  );
  return (
    <Tooltip.Provider delayDuration={250}>
      <Tooltip.Root open={open} onOpenChange={setOpen}>
        {useIsGrouped() ? <RovingFocus.Item asChild>{trigger}</RovingFocus.Item> : trigger}
        <Tooltip.Portal>
          <Tooltip.Content className="tooltip-body" sideOffset={6} collisionPadding={8}>
            {help}
          </Tooltip.Content>
        </Tooltip.Portal>
      </Tooltip.Root>
    </Tooltip.Provider>
  );
});
