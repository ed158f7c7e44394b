// The server's HTTP routes that the page reads.
import type { Health, SettingsInfo } from "./generated";

async function getJson<T>(path: string): Promise<T | null> {
  try {
    const answer = await fetch(path, { headers: { accept: "application/json" } });
    if (!answer.ok && answer.status !== 503) return null;
    return (await answer.json()) as T;
  } catch {
    return null;
  }
}

export const fetchHealth = async (): Promise<Health | null> => {
  const health = await getJson<Health>("/api/health");
  return health && typeof health.status === "string" ? health : null;
};

export const fetchSettings = async (): Promise<SettingsInfo | null> => {
  const settings = await getJson<SettingsInfo>("/api/settings");
  return settings?.ranges && settings.defaults ? settings : null;
};

export async function fetchText(path: string): Promise<string | null> {
  try {
    const answer = await fetch(path);
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}
