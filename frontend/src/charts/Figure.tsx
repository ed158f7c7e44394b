// A chart with its heading, and its data as a table for screen readers.
import { VisuallyHidden } from "radix-ui";
import { memo, type ReactNode, useId } from "react";
import { FigureMenu } from "../ui/FigureMenu";
import { HelpTooltip } from "../ui/HelpTooltip";

interface Props {
  readonly title: string;
  readonly help: ReactNode;
  /** A legend or a figure at the right of the heading. */
  readonly aside?: ReactNode;
  readonly className?: string;
  readonly table?: Table;
  readonly children: ReactNode;
}

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function Figure({ title, help, aside, className = "", table, children }: Props) {
  const id = useId();
  return (
    <section className={`db-figure ${className}`} aria-labelledby={id} data-figure>
      <header>
        <h3 id={id}>
          <HelpTooltip help={help}>{title}</HelpTooltip>
        </h3>
        {aside}
        <FigureMenu title={title} />
      </header>
      {children}
      {table && table.rows.length > 0 && <HiddenTable title={title} table={table} />}
    </section>
  );
}

function HiddenTable({ title, table }: { title: string; table: Table }) {
  return (
    <VisuallyHidden.Root>
      <table>
        <caption>{title}</caption>
        <thead>
          <tr>
            {table.head.map((cell) => (
              <th key={cell} scope="col">
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row) => (
            <tr key={row[0]}>
              {row.map((cell, index) => (
                <td key={table.head[index]}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </VisuallyHidden.Root>
  );
}

export interface LegendItem {
  readonly name: string;
  readonly help: string;
  readonly colour: string;
  readonly look?: "dashed" | "ahead" | "hatched" | "line" | "tick" | "dot";
}

const sameItem = (a: LegendItem, b: LegendItem | undefined): boolean =>
  a.name === b?.name && a.help === b.help && a.colour === b.colour && a.look === b.look;

/** Renders again only with other items: the figures beside it change with every round. */
export const ChartLegend = memo(
  Legend,
  ({ items: a }, { items: b }) => a.length === b.length && a.every((item, at) => sameItem(item, b[at])),
);

function Legend({ items }: { items: readonly LegendItem[] }) {
  return (
    <p className="db-legend">
      {items.map(({ name, help, colour, look = "solid" }) => (
        <HelpTooltip key={name} help={help}>
          <span className={`db-swatch is-${look}`} style={{ color: colour }} />
          {name}
        </HelpTooltip>
      ))}
    </p>
  );
}
