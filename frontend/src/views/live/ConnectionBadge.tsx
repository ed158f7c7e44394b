// The state of the connection and the models in one word, with details in a popover.
import { Popover } from "radix-ui";
import { useApp } from "../../app/useStore";
import type { Health } from "../../protocol/generated";
import type { ConnectionStatus } from "../../protocol/socket";
import { percent } from "../../words/format";

interface ConnectionState {
  readonly word: string;
  readonly colour: string;
  readonly detail: string;
}

export function connectionState(connection: ConnectionStatus, health: Health | null): ConnectionState {
  if (connection === "offline") {
    const detail = "The server does not answer. The page tries again and reconnects by itself.";
    return { word: "offline", colour: "var(--status-rejected)", detail };
  }
  if (connection !== "connected") {
    return {
      word: connection,
      colour: "var(--status-resampled)",
      detail: "Connecting to the server.",
    };
  }
  if (health?.status === "failed") {
    const detail = [health.message, health.hint].filter(Boolean).join(" ");
    return { word: "models failed", colour: "var(--status-rejected)", detail };
  }
  if (health?.status !== "ready") {
    const share = health?.progress == null ? "" : ` ${percent(health.progress)}`;
    return {
      word: `${health?.stage || "loading"}${share}`,
      colour: "var(--status-resampled)",
      detail: health?.message ?? `The models are loading: ${health?.stage || "starting"}${share}.`,
    };
  }
  const detail = `Server ${health.version}; the models are loaded and ready.`;
  return { word: "connected", colour: "var(--status-accepted)", detail };
}

export function ConnectionBadge() {
  const connection = useApp((state) => state.connection);
  const health = useApp((state) => state.health);
  const { word, colour, detail } = connectionState(connection, health);
  return (
    <Popover.Root>
      <Popover.Trigger className="flex max-w-[min(300px,27vw)] items-center gap-1.5 text-[13px] text-soft hover:text-text">
        <span aria-hidden className="size-2 shrink-0 rounded-full" style={{ background: colour }} />
        <span className="sr-only">Connection: </span>
        <span className="truncate">{word}</span>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover" align="end" sideOffset={8} aria-label="Connection">
          <p>{detail}</p>
          {health && health.runs_waiting > 0 && <p className="mt-2">Waiting runs: {health.runs_waiting}.</p>}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
