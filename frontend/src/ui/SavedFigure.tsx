// A picture with its title and the menu that saves it.
import type { ReactNode } from "react";
import { FigureMenu } from "./FigureMenu";

export function SavedFigure({ title, children }: { title: string; children: ReactNode }) {
  return (
    <figure className="saved-figure" data-figure>
      <figcaption>
        {title}
        <FigureMenu title={title} />
      </figcaption>
      {children}
    </figure>
  );
}
