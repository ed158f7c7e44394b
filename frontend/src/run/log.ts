// A list that grows at its end. Every version keeps its own length, and appending to the newest one copies nothing.

export class Log<T> {
  private constructor(
    /** Shared with older versions, which end before the new items. */
    private readonly items: T[],
    readonly length: number,
  ) {}

  static of<T>(items: readonly T[] = []): Log<T> {
    return new Log(items.slice(), items.length);
  }

  /** Undefined outside; a negative index counts from the end. */
  at(index: number): T | undefined {
    const place = index < 0 ? this.length + index : index;
    return place < this.length ? this.items[place] : undefined;
  }

  append(more: readonly T[]): Log<T> {
    if (more.length === 0) return this;
    // An older version has a newer one after it, so it continues in a copy.
    const items = this.items.length === this.length ? this.items : this.items.slice(0, this.length);
    for (const item of more) items.push(item);
    return new Log(items, items.length);
  }

  /** The index of the first item from `from` on that passes; −1 if none does. */
  findIndex(test: (item: T, index: number) => boolean, from = 0): number {
    for (let index = from; index < this.length; index += 1) {
      if (test(this.items[index] as T, index)) return index;
    }
    return -1;
  }

  toArray(): T[] {
    return this.items.slice(0, this.length);
  }
}
