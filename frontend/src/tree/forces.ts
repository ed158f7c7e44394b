// Forces between the tokens of a round: edges pull, tokens repel each other, and depth pulls to the right.
import {
  forceCollide,
  forceLink,
  forceManyBody,
  forceSimulation,
  forceX,
  forceY,
  type Simulation,
  type SimulationNodeDatum,
} from "d3-force";
import { type Graph, ROOT_KEY } from "./graph";

export interface Place {
  readonly x: number;
  readonly y: number;
}

interface Body extends SimulationNodeDatum {
  readonly key: string;
  readonly depth: number;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

const MARGIN_X = 48;
const MARGIN_Y = 28;
/** As far apart as the labels need; less where a draft is deep. */
const STEP_PX = 120;
const ROOM_PX = 26;
const SETTLED_AFTER = 300;

export class Forces {
  private readonly bodies: Body[];
  private readonly simulation: Simulation<Body, undefined>;

  /** Tokens that `before` holds begin there. */
  constructor(
    { nodes, edges }: Graph,
    private readonly size: Size,
    before: ReadonlyMap<string, Place>,
  ) {
    const deepest = Math.max(1, ...nodes.map(({ depth }) => depth));
    const step = Math.min(STEP_PX, (size.width - 2 * MARGIN_X) / deepest);
    const left = (size.width - step * deepest) / 2;
    const middle = size.height / 2;
    this.bodies = nodes.map(({ key, depth }, at) => {
      // Not all on one line, which would keep them there.
      const spread = key === ROOT_KEY ? 0 : ((at * 37) % 60) - 30;
      return { key, depth, ...(before.get(key) ?? { x: left + step * depth, y: middle + spread }) };
    });
    const links = edges.map(({ from, to }) => ({ source: from, target: to }));
    this.simulation = forceSimulation(this.bodies)
      .force(
        "edges",
        forceLink<Body, (typeof links)[number]>(links)
          .id(({ key }) => key)
          .distance(step * 0.8),
      )
      .force("charge", forceManyBody().strength(-220))
      .force("room", forceCollide(ROOM_PX))
      .force("depth", forceX<Body>(({ depth }) => left + step * depth).strength(0.5))
      .force("middle", forceY(middle).strength(0.06))
      .stop();
  }

  /** Moves on by one step; false once nothing moves any more. */
  step(): boolean {
    this.simulation.tick();
    return this.simulation.alpha() > this.simulation.alphaMin();
  }

  settle(): void {
    this.simulation.tick(SETTLED_AFTER);
  }

  /** Holds a token at a place, or lets go of it. The others move again. */
  hold(key: string, place: Place | null): void {
    const body = this.bodies.find((one) => one.key === key);
    if (!body) return;
    body.fx = place?.x ?? null;
    body.fy = place?.y ?? null;
    this.simulation.alpha(0.4);
  }

  /** Where the tokens are, inside the picture. */
  places(): Map<string, Place> {
    const { width, height } = this.size;
    const within = (value: number | undefined, margin: number, end: number) =>
      Math.min(end - margin, Math.max(margin, value ?? end / 2));
    return new Map(
      this.bodies.map(({ key, x, y }) => [
        key,
        { x: within(x, MARGIN_X, width), y: within(y, MARGIN_Y, height) },
      ]),
    );
  }
}
