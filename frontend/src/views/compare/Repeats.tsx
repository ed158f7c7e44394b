// How often each setting runs.
import type { Repeats as Count } from "../../app/race";
import { type Segment, Segments } from "../../ui/Segments";

const REPEATS: readonly Segment<"1" | "3">[] = [
  { value: "1", name: "once", help: "One run for each setting" },
  { value: "3", name: "3 times", help: "Three runs for each setting: median and range are shown" },
];

interface Props {
  /** What runs: "lane", "depth". */
  readonly of: string;
  readonly value: Count;
  onChoose(value: Count): void;
}

export function Repeats({ of, value, onChoose }: Props) {
  return (
    <div className="race-repeats">
      <span className="text-soft">Each {of} runs</span>
      <Segments
        label={`Runs for each ${of}`}
        segments={REPEATS}
        value={`${value}`}
        onChoose={(chosen) => onChoose(chosen === "3" ? 3 : 1)}
      />
    </div>
  );
}
