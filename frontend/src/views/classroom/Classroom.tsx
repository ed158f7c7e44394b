// The classroom: visitors bet on the target's decisions before they are shown.
import { useEffect, useState, useSyncExternalStore } from "react";
import { ClassroomStore } from "../../app/classroom";
import { hasServer } from "../../app/state";
import { useApp, useStore } from "../../app/useStore";
import { openClassroom } from "../../protocol/classroom";
import type { ClassroomView } from "../../protocol/generated";
import { Brand } from "../../ui/Brand";
import { Places } from "../../ui/Places";
import { ThemeMenu } from "../../ui/ThemeMenu";
import { CLASSROOM_LEAD, NO_SERVER_WORDS, NOTHING_STORED, phaseWords } from "../../words/classroom";
import { Board } from "./Board";
import { Entrance } from "./Entrance";
import { Lead } from "./Lead";
import { RoundBoard } from "./RoundBoard";
import "./classroom.css";

export function Classroom() {
  const page = useStore();
  const server = useApp(hasServer);
  useEffect(() => void page.connect(), [page]);
  useEffect(() => {
    const before = document.title;
    document.title = "Classroom · SpeculatoViz";
    return () => {
      document.title = before;
    };
  }, []);
  return (
    <div className="classroom">
      <header className="page-header">
        <Brand />
        <Places />
        <span className="classroom-theme">
          <ThemeMenu />
        </span>
      </header>
      <main>
        <h1>Classroom</h1>
        {server ? <Connected /> : <p className="classroom-lead">{NO_SERVER_WORDS}</p>}
      </main>
    </div>
  );
}

function Connected() {
  const [room] = useState(() => new ClassroomStore(openClassroom, sessionStorage));
  useEffect(() => room.open(), [room]);
  const { connection, view, notice } = useSyncExternalStore(room.subscribe, room.get);
  return (
    <>
      {notice && (
        <p role="alert" className="classroom-notice">
          <b>{notice.message}</b> {notice.hint}
        </p>
      )}
      {connection !== "connected" && (
        <p role="status" className="classroom-note">
          {view ? "The connection was lost. The page connects again by itself." : "Connecting…"}
        </p>
      )}
      {view && <Room room={room} view={view} />}
    </>
  );
}

function Room({ room, view }: { room: ClassroomStore; view: ClassroomView }) {
  const takesPart = view.leads || view.you !== null;
  if (!takesPart) return <Entrance room={room} view={view} />;
  return (
    <>
      {view.leads && <Lead room={room} view={view} />}
      {!view.presenter_here && view.phase !== "closed" && (
        <p className="classroom-note">The presenter is away. Your score is kept.</p>
      )}
      {view.round > 0 ? (
        <RoundBoard key={`${view.prompt} ${view.round}`} room={room} view={view} />
      ) : (
        <>
          {!view.leads && <p className="classroom-lead">{CLASSROOM_LEAD}</p>}
          <p role="status" className="classroom-phase">
            {phaseWords(view)}
          </p>
        </>
      )}
      <Board view={view} />
      <p className="classroom-note">{NOTHING_STORED}</p>
    </>
  );
}
