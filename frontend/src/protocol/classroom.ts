// The WebSocket of the classroom.
import type { ClassroomEvent, ClassroomMessage } from "./generated";
import { type ConnectionStatus, type Line, openLine, socketUrl } from "./socket";

const TYPES: ReadonlySet<unknown> = new Set(["classroom", "welcome", "refused"]);

/** An event of the server; null for what the page does not know. */
export function classroomEvent(text: string): ClassroomEvent | null {
  try {
    const event = JSON.parse(text) as ClassroomEvent | null;
    return TYPES.has(event?.type) ? event : null;
  } catch {
    return null;
  }
}

export const openClassroom = (
  onStatus: (status: ConnectionStatus) => void,
  onEvent: (event: ClassroomEvent) => void,
): Line<ClassroomMessage> =>
  openLine(socketUrl(location, "/ws/classroom"), onStatus, (text) => {
    const event = classroomEvent(text);
    if (event) onEvent(event);
  });
