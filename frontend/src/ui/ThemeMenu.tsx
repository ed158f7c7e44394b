// The choice of the theme.
import { Monitor, Moon, Sun } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { useState } from "react";
import { savedTheme, setTheme, type Theme } from "../app/theme";

const THEMES: readonly { value: Theme; name: string; icon: typeof Sun }[] = [
  { value: "system", name: "System", icon: Monitor },
  { value: "dark", name: "Dark", icon: Moon },
  { value: "light", name: "Light", icon: Sun },
];

export function ThemeMenu() {
  const [theme, setShown] = useState(savedTheme);
  const Icon = THEMES.find(({ value }) => value === theme)?.icon ?? Monitor;
  const choose = (value: string) => {
    setTheme(value as Theme);
    setShown(value as Theme);
  };
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger className="icon-button" aria-label={`Theme: ${theme}`}>
        <Icon size={16} aria-hidden />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="popover p-1!" align="end" sideOffset={6}>
          <DropdownMenu.RadioGroup value={theme} onValueChange={choose}>
            {THEMES.map(({ value, name, icon: Entry }) => (
              <DropdownMenu.RadioItem
                key={value}
                value={value}
                className="flex cursor-pointer items-center gap-2 rounded px-3 py-1.5 outline-none data-highlighted:bg-accent-soft data-[state=checked]:font-semibold data-[state=checked]:text-text"
              >
                <Entry size={15} aria-hidden />
                {name}
              </DropdownMenu.RadioItem>
            ))}
          </DropdownMenu.RadioGroup>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
