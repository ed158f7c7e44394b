// The entrance: take part as a visitor, or open the classroom and lead it.
import { useId, useState } from "react";
import type { ClassroomStore } from "../../app/classroom";
import type { ClassroomView } from "../../protocol/generated";
import { CLASSROOM_LEAD, CLOSED_WORDS, NOTHING_STORED } from "../../words/classroom";

const MOST_LETTERS = 24;

export function Entrance({ room, view }: { room: ClassroomStore; view: ClassroomView }) {
  const id = useId();
  const [name, setName] = useState("");
  const closed = view.phase === "closed";
  return (
    <>
      <p className="classroom-lead">{CLASSROOM_LEAD}</p>
      {closed ? (
        <p role="status" className="classroom-phase">
          {CLOSED_WORDS}
        </p>
      ) : (
        <form
          className="classroom-join"
          onSubmit={(event) => {
            event.preventDefault();
            room.join(name);
          }}
        >
          <label htmlFor={id}>Your name, as the others see it</label>
          <input
            id={id}
            value={name}
            maxLength={MOST_LETTERS}
            autoComplete="off"
            placeholder="without one you are a number"
            onChange={(event) => setName(event.target.value)}
          />
          <button type="submit" className="run-button">
            Take part
          </button>
        </form>
      )}
      {(closed || !view.presenter_here) && (
        <section aria-labelledby="lead" className="classroom-section">
          <h2 id="lead">For the presenter</h2>
          <p className="classroom-note">
            Open the classroom on the machine whose screen everybody sees. You choose the prompts and show the
            decisions.
          </p>
          <button type="button" className="classroom-button" onClick={() => room.present()}>
            Open the classroom
          </button>
        </section>
      )}
      <p className="classroom-note">{NOTHING_STORED}</p>
    </>
  );
}
