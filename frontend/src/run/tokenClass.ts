// The kind of text that a token is, by the rules of the server's `token_class`.

const CONTROL = /^(?:<\|[^<>]*\|>|<\/?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>)$/;
const PART_OF_A_CHARACTER = /\\x[0-9a-f]{2}/;
const OPERATOR = /[{}[\]<>=+*/\\|&^%$#@~`]/;
const LETTER = /^[\p{L}\p{M}_]$/u;
const NUMBER = /^\p{N}$/u;

const isLetter = (character: string | undefined): boolean => LETTER.test(character ?? "");

export function tokenClass(token: string, before: string): string {
  const body = [...token.trimStart()];
  const [first, second] = body;
  if (first === undefined) return token === "" ? "other" : "whitespace";
  if (CONTROL.test(token)) return "control";
  if (PART_OF_A_CHARACTER.test(token)) return "other";
  if (NUMBER.test(first)) return "number";
  const last = [...before.slice(-2)].at(-1) ?? "";
  const joined = body.length === [...token].length && (isLetter(last) || NUMBER.test(last));
  if (isLetter(first) || (joined && "'’".includes(first) && isLetter(second)))
    return joined ? "word continuation" : "word start";
  const text = body.join("");
  if (OPERATOR.test(text) || text.includes("()")) return "code symbol";
  if (!/^\p{P}/u.test(text)) return "other";
  return body.some(isLetter) ? "code symbol" : "punctuation";
}
