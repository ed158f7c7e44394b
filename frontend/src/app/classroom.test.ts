import { beforeEach, expect, it } from "vitest";
import type { ClassroomEvent, ClassroomMessage } from "../protocol/generated";
import type { ConnectionStatus } from "../protocol/socket";
import { VIEW } from "../testing/classroom";
import { ClassroomStore } from "./classroom";

class FakeLine {
  sent: ClassroomMessage[] = [];
  connected = true;
  closed = false;
  onStatus: (status: ConnectionStatus) => void = () => undefined;
  onEvent: (event: ClassroomEvent) => void = () => undefined;
  open = (onStatus: FakeLine["onStatus"], onEvent: FakeLine["onEvent"]) => {
    Object.assign(this, { onStatus, onEvent });
    return {
      send: (message: ClassroomMessage) => this.connected && this.sent.push(message) > 0,
      close: () => {
        this.closed = true;
      },
    };
  };
}

let line: FakeLine;
beforeEach(() => {
  sessionStorage.clear();
  line = new FakeLine();
});

function opened(storage: Storage = sessionStorage) {
  const store = new ClassroomStore(line.open, storage);
  store.open();
  line.onStatus("connected");
  return store;
}

it("goes on in the same part after a lost connection and after a reload", () => {
  const store = opened();
  expect(line.sent).toEqual([]);
  store.join("Ana");
  line.onEvent({ type: "welcome", token: "t1" });
  line.onStatus("reconnecting");
  line.onStatus("connected");
  const back = { type: "join", name: "", token: "t1" };
  expect(line.sent).toEqual([{ type: "join", name: "Ana", token: null }, back]);
  line = new FakeLine();
  opened();
  expect(line.sent).toEqual([back]);
});

it("forgets a part whose room is over, and keeps it after another refusal", () => {
  const store = opened();
  store.present();
  line.onEvent({ type: "welcome", token: "p" });
  line.onEvent({ type: "refused", code: "bad_request", message: "No prompt.", hint: "Write one." });
  expect(store.get().notice).toEqual({ message: "No prompt.", hint: "Write one." });
  line.onStatus("connected");
  expect(line.sent.at(-1)).toEqual({ type: "present", token: "p" });
  line.onEvent({ type: "refused", code: "bad_request", message: "Over.", hint: "Next one." });
  const count = line.sent.length;
  line.onStatus("connected");
  expect(line.sent).toHaveLength(count);
});

it("bets on the round that is shown, and says so when nothing can be sent", () => {
  const store = opened();
  store.bet(2);
  expect(line.sent).toEqual([]);
  line.onEvent({ ...VIEW, round: 3 });
  store.bet(2);
  expect(line.sent).toEqual([{ type: "bet", round: 3, accepted: 2 }]);
  line.connected = false;
  store.bet(1);
  expect(store.get().notice?.message).toBe("The server cannot be reached.");
});

it("works without storage, and with damaged one", () => {
  const refusing = {
    getItem: () => {
      throw new Error("forbidden");
    },
  } as unknown as Storage;
  opened(refusing).join("Ana");
  expect(line.sent).toHaveLength(1);
  for (const damaged of ["{", "null", "[]", '{"role":"king","token":"t"}', '{"role":"visitor"}']) {
    sessionStorage.setItem("speculatoviz.classroom", damaged);
    line = new FakeLine();
    opened();
    expect(line.sent).toEqual([]);
  }
});

it("disconnects when the page leaves the place", () => {
  const store = new ClassroomStore(line.open, sessionStorage);
  store.open()();
  expect(line.closed).toBe(true);
});
