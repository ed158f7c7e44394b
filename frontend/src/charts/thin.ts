// Long series for narrow pictures: a chart draws as much as it has columns of pixels, however long the run is.

/** Every item if there is room, else evenly chosen ones, with the first and the last. */
export function thinned<T>(items: readonly T[], most: number): readonly T[] {
  const count = Math.max(2, Math.floor(most));
  if (items.length <= count) return items;
  return Array.from(
    { length: count },
    (_, at) => items[Math.round((at * (items.length - 1)) / (count - 1))] as T,
  );
}

/** Neighbouring items that share a column: one of them, and the range of their values. */
export interface Column<T> {
  readonly item: T;
  readonly least: number;
  readonly most: number;
}

/** One column for each item that has a value if there is room, else `most` columns. */
export function columnsOf<T>(
  items: readonly T[],
  most: number,
  value: (item: T) => number | null,
): Column<T>[] {
  const size = Math.max(1, Math.ceil(items.length / Math.max(1, most)));
  const columns: Column<T>[] = [];
  for (let from = 0; from < items.length; from += size) {
    const group = items.slice(from, from + size);
    const values = group.map(value).filter((one) => one !== null);
    const item = group[group.length >> 1];
    if (values.length > 0 && item !== undefined)
      columns.push({ item, least: Math.min(...values), most: Math.max(...values) });
  }
  return columns;
}
