// Values stored in the browser. If storage is forbidden or full, nothing is stored and nothing fails.
const PREFIX = "speculatoviz.";

export function loadValue(name: string): unknown {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

export function saveValue(name: string, value: unknown): void {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Storage is forbidden or full.
  }
}
