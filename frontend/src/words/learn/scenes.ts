// The scenes of the place Learn, in reading order. The id is the part of the address after `#`.
export const SCENES = [
  { id: "idea", title: "The idea" },
  { id: "tokens", title: "One token a pass" },
  { id: "round", title: "Draft, verify, keep" },
  { id: "rule", title: "The rule" },
  { id: "proof", title: "All outcomes" },
  { id: "speedup", title: "How deep to draft" },
  { id: "flavours", title: "Kinds of drafters" },
  { id: "trees", title: "Trees" },
  { id: "network", title: "Across a network" },
  { id: "busy", title: "A busy server" },
] as const;

export type SceneId = (typeof SCENES)[number]["id"];

export interface Position {
  /** From 0. */
  readonly index: number;
  readonly id: SceneId;
  readonly title: string;
  readonly before: (typeof SCENES)[number] | null;
  readonly after: (typeof SCENES)[number] | null;
}

/** The scene with this id; the first for an unknown one. */
export function positionOf(id: string): Position {
  const index = Math.max(
    0,
    SCENES.findIndex((scene) => scene.id === id),
  );
  const scene = SCENES[index] ?? SCENES[0];
  return { index, ...scene, before: SCENES[index - 1] ?? null, after: SCENES[index + 1] ?? null };
}

/** The sources of the formulae. */
export const PAPERS = {
  specinfer: {
    name: "Miao et al. 2024",
    full: "X. Miao et al.: SpecInfer: Accelerating Large Language Model Serving with Tree-based Speculative Inference and Verification. ASPLOS 2024, arXiv:2305.09781.",
  },
  roofline: {
    name: "The roofline model",
    full: "S. Williams, A. Waterman, D. Patterson: Roofline. Communications of the ACM 52(4), 2009.",
  },
  goodput: {
    name: "Liu et al. 2024",
    full: "X. Liu et al.: Optimizing Speculative Decoding for Serving Large Language Models Using Goodput. arXiv:2406.14066.",
  },
  pope: {
    name: "Pope et al. 2022",
    full: "R. Pope et al.: Efficiently Scaling Transformer Inference. MLSys 2023, arXiv:2211.05102.",
  },
  leviathan: {
    name: "Leviathan et al. 2023",
    full: "Y. Leviathan, M. Kalman, Y. Matias: Fast Inference from Transformers via Speculative Decoding. ICML 2023, arXiv:2211.17192.",
  },
} as const;
