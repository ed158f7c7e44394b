/** Keys of the tokens that are drawn out from the others. */
export interface Highlight {
  readonly hovered: string | null;
  readonly selected: string | null;
  readonly active: string | null;
}
