// Terms with explanations as one tab stop: the arrow keys move between them.
import { RovingFocus } from "radix-ui/internal";
import { createContext, type ReactNode, useContext } from "react";

const Grouped = createContext(false);

/** Whether the term is in a group, whose arrow keys reach it. */
export const useIsGrouped = (): boolean => useContext(Grouped);

interface Props {
  readonly children: ReactNode;
}

/** Its child must be one element, which becomes the group. */
export function HelpGroup({ children }: Props) {
  return (
    <Grouped value={true}>
      <RovingFocus.Root asChild loop>
        {children}
      </RovingFocus.Root>
    </Grouped>
  );
}
