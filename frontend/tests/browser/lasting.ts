// Runs that reach their token limit. The toy model would end most of its texts early.
import type { Page } from "playwright-core";

/** Makes the page's own start messages ask the server to ignore the end of the text. */
export const lasting = (page: Page) =>
  page.addInitScript(() => {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
      const message = JSON.parse(String(data));
      send.call(this, JSON.stringify(message.type === "start" ? { ...message, ignore_eos: true } : message));
    };
  });
