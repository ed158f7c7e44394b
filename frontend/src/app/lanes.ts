// The lanes of a race: what a reader can choose, and what is stored of it.
import type { RaceTargetInfo, SettingsInfo } from "../protocol/generated";
import { isPlain, type LaneSettings, LEAST_LANES, MOST_LANES } from "../run/race";

export const PLAIN: LaneSettings = { policy: "fixed", drafter: null, k: 0 };
export const AUTO_LANE: LaneSettings = { policy: "auto", drafter: null, k: null };
const USUAL_DEPTH = 4;
export const DEEPEST = 16;

/** What a lane can be: plain, `auto`, or one of the drafters. */
export const kindOf = (lane: LaneSettings): string =>
  isPlain(lane) ? "plain" : lane.policy === "auto" ? "auto" : (lane.drafter ?? "");

export const depthOf = ({ k }: LaneSettings): number => (k === null || k === 0 ? USUAL_DEPTH : k);

/** The lane of another kind, with the target and the depth of this one. */
export function withKind(lane: LaneSettings, kind: string): LaneSettings {
  const drafted = { policy: "fixed", drafter: kind, k: depthOf(lane) } as const;
  return onTarget(kind === "plain" ? PLAIN : kind === "auto" ? AUTO_LANE : drafted, lane.target);
}

function onTarget({ policy, drafter, k }: LaneSettings, target: string | undefined): LaneSettings {
  return target === undefined ? { policy, drafter, k } : { policy, drafter, k, target };
}

/** The lane with another target; plain decoding if that one does not have its drafter for certain. */
export function withTarget(
  lane: LaneSettings,
  target: string | undefined,
  settings: SettingsInfo | null,
): LaneSettings {
  const has = lane.drafter === null || draftersOf(target, settings).includes(lane.drafter);
  return onTarget(has ? lane : PLAIN, target);
}

/** The drafters that a target has: the server's own, or one of its race targets. */
export function draftersOf(target: string | undefined, settings: SettingsInfo | null): readonly string[] {
  if (target === undefined) return drafterNames(settings);
  return raceTargets(settings).find(({ name }) => name === target)?.drafters ?? [];
}

/** The targets of a race beside the server's own; an older server has none. */
export const raceTargets = (settings: SettingsInfo | null): readonly RaceTargetInfo[] =>
  settings?.race_targets ?? [];

export const withDepth = (lane: LaneSettings, k: number): LaneSettings => ({
  ...lane,
  k: Math.max(1, Math.min(DEEPEST, Math.round(k))),
});

const drafterNames = (settings: SettingsInfo | null): string[] =>
  settings?.drafters.filter(({ available }) => available).map(({ name }) => name) ?? [];

/** Plain decoding, the server's drafter, and `auto`. */
function usualLanes(settings: SettingsInfo | null): LaneSettings[] {
  const names = drafterNames(settings);
  const standard = settings?.defaults.drafter;
  const drafter = typeof standard === "string" && names.includes(standard) ? standard : names[0];
  const k = settings?.defaults.k;
  const depth = typeof k === "number" && k > 0 ? Math.min(DEEPEST, k) : USUAL_DEPTH;
  if (drafter === undefined) return [PLAIN, AUTO_LANE];
  return [PLAIN, { policy: "fixed", drafter, k: depth }, AUTO_LANE];
}

/**
 * The chosen lanes, or the usual ones. A target that the server does not have is replaced by its own, a drafter by plain
 * decoding.
 */
export function lanesOf(
  chosen: readonly LaneSettings[] | null,
  settings: SettingsInfo | null,
): readonly LaneSettings[] {
  if (!chosen) return usualLanes(settings);
  if (!settings) return chosen;
  const there = raceTargets(settings).filter(({ reason }) => reason === null);
  return chosen.map((lane) => {
    const known = there.some(({ name }) => name === lane.target);
    return withTarget(lane, known ? lane.target : undefined, settings);
  });
}

/** One more lane: the last one at twice its depth, or else the usual drafter. */
export function withOneMore(lanes: readonly LaneSettings[], settings: SettingsInfo | null): LaneSettings[] {
  const last = lanes.findLast((lane) => lane.drafter !== null);
  const usual = usualLanes(settings).find((lane) => lane.drafter !== null) ?? AUTO_LANE;
  const added = last ? withDepth(last, 2 * depthOf(last)) : usual;
  return [...lanes, added].slice(0, MOST_LANES);
}

function laneFrom(value: unknown): LaneSettings | null {
  if (typeof value !== "object" || value === null) return null;
  const { policy, drafter, k, target } = value as Record<string, unknown>;
  const named = typeof target === "string" ? target : undefined;
  if (policy === "auto") return onTarget(AUTO_LANE, named);
  if (policy !== "fixed") return null;
  if (typeof drafter !== "string") return onTarget(PLAIN, named);
  if (typeof k !== "number" || !Number.isFinite(k)) return null;
  return withDepth(onTarget({ policy, drafter, k }, named), k);
}

/** Reads stored lanes. Null for anything unexpected. */
export function lanesFrom(saved: unknown): readonly LaneSettings[] | null {
  if (!Array.isArray(saved) || saved.length < LEAST_LANES || saved.length > MOST_LANES) return null;
  const lanes = saved.map(laneFrom);
  return lanes.every((lane) => lane !== null) ? lanes : null;
}
