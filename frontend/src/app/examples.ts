// Example prompts. Their answers differ in how predictable they are, and so in acceptance.
export interface Example {
  readonly name: string;
  readonly prompt: string;
}

export const EXAMPLES: readonly [Example, ...Example[]] = [
  { name: "code", prompt: "Write a Python function that merges two sorted lists" },
  {
    name: "summary",
    prompt:
      "Summarise in three sentences: The water cycle describes how water moves between the ocean, the air and the land. The sun warms the surface of the sea and water evaporates. The vapour rises, cools and condenses into clouds. Winds carry the clouds over land, where the water falls as rain or snow. Some of it flows back in rivers, some seeps into the ground and feeds springs, and some is drunk by plants, which return it to the air through their leaves.",
  },
  {
    name: "translation",
    prompt:
      "Translate into German: The train to the coast leaves at half past seven. Please bring warm clothes, because the evenings by the sea are cool even in summer.",
  },
  {
    name: "chat",
    prompt: "I have a free weekend and like the outdoors, but it is going to rain. What would you suggest?",
  },
  {
    name: "maths",
    prompt:
      "A baker sells 48 rolls in the morning and half as many in the afternoon. Each roll costs 0.45 euros. How much does he take in that day? Show each step.",
  },
];
