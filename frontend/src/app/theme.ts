// System, dark or light: remembered, and applied before the first paint.
import { recall, remember } from "./storage";

export type Theme = "system" | "dark" | "light";

const isDarkQuery = () => window.matchMedia("(prefers-color-scheme: dark)");

export function savedTheme(): Theme {
  const saved = recall("theme");
  return saved === "dark" || saved === "light" ? saved : "system";
}

export function applyTheme(theme: Theme): void {
  const dark = theme === "dark" || (theme === "system" && isDarkQuery().matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

export function setTheme(theme: Theme): void {
  remember("theme", theme);
  applyTheme(theme);
}

/** Follows the system while nothing else was chosen. */
export function watchSystemTheme(): void {
  isDarkQuery().addEventListener("change", () => savedTheme() === "system" && applyTheme("system"));
}
