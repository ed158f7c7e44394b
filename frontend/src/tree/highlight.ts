/** Keys of the highlighted tokens; `active` is the one that the keyboard is on. */
export interface Highlight {
  readonly hovered: string | null;
  readonly selected: string | null;
  readonly active: string | null;
}
