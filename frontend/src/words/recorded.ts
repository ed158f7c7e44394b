// A page without a server, in words.

/** One sentence below the prompt of a recorded run. */
export const RUN_IT = "This run is recorded. To decode with your own models, install SpeculatoViz and start";
export const RUN_COMMAND = "speculatoviz serve";
