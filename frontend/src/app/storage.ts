// What a browser remembers. Storage can be forbidden or full: then nothing is remembered and nothing breaks.
const PREFIX = "speculatoviz.";

export function recall(name: string): unknown {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

export function remember(name: string, value: unknown): void {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Not remembered.
  }
}
