// A plain menu of drafters by their titles, where no explanation of each is needed.
import type { DrafterInfo } from "../protocol/generated";
import "./controls.css";

interface Props {
  readonly id: string;
  readonly drafters: readonly DrafterInfo[];
  readonly chosen: string | null;
  onChoose(name: string): void;
}

export function DrafterMenu({ id, drafters, chosen, onChoose }: Props) {
  return (
    <select
      id={id}
      className="select-box"
      value={chosen ?? ""}
      onChange={(event) => onChoose(event.target.value)}
    >
      {drafters.map(({ name, title }) => (
        <option key={name} value={name}>
          {title}
        </option>
      ))}
    </select>
  );
}
