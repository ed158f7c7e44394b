// The theme: system, dark or light. It is stored, and applied before the first paint.
import { loadValue, saveValue } from "./storage";

export type Theme = "system" | "dark" | "light";

const isDarkQuery = () => window.matchMedia("(prefers-color-scheme: dark)");

export function savedTheme(): Theme {
  const saved = loadValue("theme");
  return saved === "dark" || saved === "light" ? saved : "system";
}

export function applyTheme(theme: Theme): void {
  const dark = theme === "dark" || (theme === "system" && isDarkQuery().matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

export function setTheme(theme: Theme): void {
  saveValue("theme", theme);
  applyTheme(theme);
}

/** Follows the system until the user chooses a theme. */
export function watchSystemTheme(): void {
  isDarkQuery().addEventListener("change", () => savedTheme() === "system" && applyTheme("system"));
}
