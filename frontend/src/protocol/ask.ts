// Requests to the server whose refusals have words.

/** What went wrong at the server, and what to do about it. */
export class ServerError extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** The answer to a request. Throws ServerError, and whatever `signal` was aborted with. */
export async function ask(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<Response> {
  const sent =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await fetch(path, { method, ...sent, ...(signal ? { signal } : {}) }).catch(() => {
    signal?.throwIfAborted();
    throw new ServerError("The server cannot be reached.", "Try again once the page is connected.");
  });
  if (answer.ok) return answer;
  const words = (await answer.json().catch(() => null)) as { message?: unknown; hint?: unknown } | null;
  if (typeof words?.message !== "string") {
    throw new ServerError(`The server answered with status ${answer.status}.`, "Reload the page.");
  }
  throw new ServerError(words.message, typeof words.hint === "string" ? words.hint : "");
}
