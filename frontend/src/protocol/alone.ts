// The server's route for what a drafter writes alone.
import { ask } from "./ask";
import type { AloneRequest, AloneText } from "./generated";

/** Throws ServerError, and the reason of `signal` once it is aborted; the server then computes no further. */
export const writeAlone = async (request: AloneRequest, signal: AbortSignal): Promise<AloneText> =>
  (await (await ask("POST", "/api/draft-alone", request, signal)).json()) as AloneText;
