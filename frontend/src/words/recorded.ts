// Recorded runs in words: on a page without a server, and of another server.
import type { WatchedInfo } from "../protocol/generated";

/** One sentence below the prompt of a recorded run. */
export const RUN_IT = "This run is recorded. To decode with your own models, install SpeculatoViz and start";
export const RUN_COMMAND = "speculatoviz serve";

/** What a run shows that another server computed. */
export const watchedSentence = ({ server, engine }: WatchedInfo): string =>
  `Watched: ${engine ?? "the server"} at ${server} computed it. Each round is a piece of text as it came; what was drafted is not known.`;
