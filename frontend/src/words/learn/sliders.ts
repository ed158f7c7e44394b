/** A slider of a scene, which moves one number of T. */
export interface SliderOf<T> {
  readonly field: keyof T & string;
  readonly name: string;
  /** 0 by default. */
  readonly lowest?: number;
  readonly highest: number;
  readonly step: number;
  readonly help: string;
}
