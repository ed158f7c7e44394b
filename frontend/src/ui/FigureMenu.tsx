// Saves the figure around it as SVG or PNG. In a group of terms, the arrow keys reach it.
import { Download } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { RovingFocus } from "radix-ui/internal";
import { useRef, useState } from "react";
import { savedOn } from "../words/provenance";
import type { Format } from "./figure/save";
import { useIsGrouped } from "./HelpGroup";
import { useProvenance } from "./provenance";
import "./figure-menu.css";

const FORMATS: readonly (readonly [Format, string])[] = [
  ["svg", "Save as SVG"],
  ["png", "Save as PNG"],
];

interface Props {
  /** Of the picture, and the name of its file. */
  readonly title: string;
  /** Called with true before the figure is read, and with false after it: for one that is not drawn as SVG elements. */
  onSaving?(saving: boolean): void;
}

/** Must be inside an element with the attribute `data-figure`. */
export function FigureMenu({ title, onSaving = () => {} }: Props) {
  const button = useRef<HTMLButtonElement>(null);
  const provenance = useProvenance();
  const [failed, setFailed] = useState(false);
  const save = async (format: Format) => {
    const figure = button.current?.closest<HTMLElement>("[data-figure]");
    if (!figure) return;
    try {
      const { saveFigure } = await import("./figure/save");
      onSaving(true);
      await saveFigure(figure, { title, provenance: savedOn(provenance, new Date().toISOString()) }, format);
      setFailed(false);
    } catch {
      setFailed(true);
    } finally {
      onSaving(false);
    }
  };
  const trigger = (
    <DropdownMenu.Trigger
      ref={button}
      className="figure-menu"
      data-figure-skip
      aria-label={`Save the figure ${title}`}
      title={failed ? "The figure could not be saved" : "Save as SVG or PNG"}
    >
      <Download size={13} aria-hidden />
    </DropdownMenu.Trigger>
  );
  return (
    <DropdownMenu.Root modal={false}>
      {useIsGrouped() ? <RovingFocus.Item asChild>{trigger}</RovingFocus.Item> : trigger}
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="popover p-1!" align="end" sideOffset={4}>
          {FORMATS.map(([format, name]) => (
            <DropdownMenu.Item
              key={format}
              onSelect={() => void save(format)}
              className="cursor-pointer rounded px-3 py-1.5 outline-none data-highlighted:bg-accent-soft"
            >
              {name}
            </DropdownMenu.Item>
          ))}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
