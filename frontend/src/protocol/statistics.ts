// The server's route that reads the statistics of other engines.
import { ask } from "./ask";
import type { EngineStatistics, StatisticsFound } from "./generated";

/** What another engine reports of its speculation; one entry for each source in the text. Throws ServerError. */
export const readStatistics = async (text: string): Promise<readonly EngineStatistics[]> =>
  ((await (await ask("POST", "/api/statistics", { text })).json()) as StatisticsFound).statistics;
