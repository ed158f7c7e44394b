// The captions of the tour.
import type { Stop, TourRound } from "../run/tour";
import { plural } from "./format";

export function caption(stop: Stop, { drafted, emitted, replaced }: TourRound): string {
  switch (stop) {
    case "drafted":
      return `A small, fast drafter proposes ${plural(drafted, "token")}. Nothing is decided yet.`;
    case "checked":
      return "The target, the model whose text you want, checks all of them in one pass, from the first on.";
    case "replaced":
      return replaced
        ? "A token that fails its test is replaced by one of the target’s own, so the text follows the target alone."
        : "All of them pass, and the same pass gives one token more: the text follows the target alone.";
    case "counted":
      return `This round gave ${plural(emitted, "token")} for one pass of the target. Whether that pays is the figure at the top.`;
  }
}
