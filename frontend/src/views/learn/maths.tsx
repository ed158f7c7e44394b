// MathML, which React's types do not list: each function returns one element.
import { createElement, type ReactNode } from "react";

const element =
  (tag: string) =>
  (...children: ReactNode[]): ReactNode =>
    createElement(tag, null, ...children);

/** A variable. */
export const mi = element("mi");
export const mn = element("mn");
export const mo = element("mo");
/** A bracket that stays small next to a fraction. */
export const bracket = (sign: string): ReactNode => createElement("mo", { stretchy: "false" }, sign);
export const row = element("mrow");
/** Words within a formula. */
export const mtext = element("mtext");
/** Numerator, denominator. */
export const frac = element("mfrac");
export const sup = element("msup");
export const sub = element("msub");

/** A function of one variable: p(x). */
export const of = (name: string, variable = "x"): ReactNode =>
  row(mi(name), bracket("("), mi(variable), bracket(")"));

/** A formula on a line of its own, with its source. */
export function Formula({ children, source }: { children: readonly ReactNode[]; source: string }) {
  return (
    <figure className="learn-formula">
      {createElement("math", { display: "block" }, row(...children))}
      <figcaption>{source}</figcaption>
    </figure>
  );
}
