// The state of the classroom on the page: what the server shows, and the part that this browser has.
import type { openClassroom } from "../protocol/classroom";
import type { ClassroomEvent, ClassroomMessage, ClassroomView, Prepare } from "../protocol/generated";
import type { ConnectionStatus, Line } from "../protocol/socket";

export interface ClassroomState {
  readonly connection: ConnectionStatus;
  /** What the server shows; null before its first answer. */
  readonly view: ClassroomView | null;
  readonly notice: { readonly message: string; readonly hint: string } | null;
}

/** The part of this tab, kept while it is open: a reload goes on with the same score. */
interface Part {
  readonly role: "visitor" | "presenter";
  readonly token: string;
}

const KEY = "speculatoviz.classroom";
const LOST = { message: "The server cannot be reached.", hint: "The page connects again by itself." };

const isPart = (value: unknown): value is Part => {
  const { role, token } = (value ?? {}) as Partial<Record<keyof Part, unknown>>;
  return (role === "visitor" || role === "presenter") && typeof token === "string";
};

export class ClassroomStore {
  private state: ClassroomState = { connection: "connecting", view: null, notice: null };
  private readonly listeners = new Set<() => void>();
  private line: Line<ClassroomMessage> | null = null;
  /** The part that was asked for and is not confirmed yet. */
  private asked: Part["role"] | null = null;

  constructor(
    private readonly openLine: typeof openClassroom,
    private readonly storage: Pick<Storage, "getItem" | "setItem" | "removeItem">,
  ) {}

  readonly get = (): ClassroomState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private set(changes: Partial<ClassroomState>): void {
    this.state = { ...this.state, ...changes };
    for (const listener of this.listeners) listener();
  }

  /** Connects; the returned function disconnects. */
  open(): () => void {
    const line = this.openLine(
      (connection) => {
        this.set({ connection });
        if (connection === "connected") this.comeBack();
      },
      (event) => this.onEvent(event),
    );
    this.line = line;
    return () => {
      this.line = null;
      line.close();
    };
  }

  join(name: string): void {
    this.asked = "visitor";
    this.send({ type: "join", name, token: null });
  }

  present(): void {
    this.asked = "presenter";
    this.send({ type: "present", token: null });
  }

  prepare(settings: Omit<Prepare, "type">): void {
    this.send({ type: "prepare", ...settings });
  }

  bet(accepted: number): void {
    const { view } = this.state;
    if (view) this.send({ type: "bet", round: view.round, accepted });
  }

  reveal = (): void => this.send({ type: "reveal" });

  next = (): void => this.send({ type: "next" });

  close(): void {
    this.send({ type: "close" });
    this.keep(null);
  }

  private send(message: ClassroomMessage): void {
    this.set({ notice: this.line?.send(message) ? null : LOST });
  }

  /** After a lost connection or a reload, goes on in the same part. */
  private comeBack(): void {
    const part = this.kept();
    if (!part) return;
    this.asked = part.role;
    if (part.role === "presenter") this.send({ type: "present", token: part.token });
    else this.send({ type: "join", name: "", token: part.token });
  }

  private onEvent(event: ClassroomEvent): void {
    if (event.type === "welcome") {
      if (this.asked) this.keep({ role: this.asked, token: event.token });
      this.asked = null;
    } else if (event.type === "refused") {
      // The room that this part belonged to is over.
      if (this.asked) this.keep(null);
      this.asked = null;
      this.set({ notice: { message: event.message, hint: event.hint } });
    } else this.set({ view: event });
  }

  private kept(): Part | null {
    try {
      const part: unknown = JSON.parse(this.storage.getItem(KEY) ?? "null");
      return isPart(part) ? part : null;
    } catch {
      return null;
    }
  }

  private keep(part: Part | null): void {
    try {
      if (part) this.storage.setItem(KEY, JSON.stringify(part));
      else this.storage.removeItem(KEY);
    } catch {
      // Storage is forbidden: a reload is a new visitor.
    }
  }
}
