import { expect, it } from "vitest";
import type { SettingsInfo } from "../protocol/generated";
import { formFrom, noChoices, startMessage } from "./form";
import { exactSeed } from "./seed";

const settings = (seed: string) =>
  JSON.parse(
    `{"ranges": {}, "defaults": {"seed": ${seed}}, "profiles": [], "drafters": [], "rules": [], "pass_times": []}`,
  ) as SettingsInfo;
const sent = (seed: string, chosen: number | null = null) =>
  startMessage(formFrom(settings(seed), { ...noChoices, seed: chosen })).seed;

it("is the server's where the field can hold it", () => {
  expect([sent("0"), sent("7"), sent("9007199254740991")]).toEqual([0, 7, 2 ** 53 - 1]);
});

it("is left to the server where the field cannot hold it, and is never another number", () => {
  expect(["9007199254740992", "18446744073709551617", "-1"].map((seed) => sent(seed))).toEqual([
    null,
    null,
    null,
  ]);
});

it("is left to the server until its settings are known", () => {
  expect(startMessage(formFrom(null, noChoices)).seed).toBeNull();
});

it("is the user's once one is picked, whole and within what the field can hold", () => {
  expect(sent("18446744073709551617", 5)).toBe(5);
  expect([sent("7", 2.4), sent("7", -3), sent("7", 1e300)]).toEqual([2, 0, 2 ** 53 - 1]);
});

it("was read exactly, or is not repeated", () => {
  expect([exactSeed(-5), exactSeed(2 ** 53 - 1), exactSeed(2 ** 53)]).toEqual([-5, 2 ** 53 - 1, null]);
});
