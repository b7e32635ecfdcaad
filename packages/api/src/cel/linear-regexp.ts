/**
 * Regular expressions whose time grows with the length of the text, whatever the pattern and the text: all ways to
 * match are followed side by side (Thompson, "Regular expression search algorithm", 1968), none is taken back. The
 * syntax is that of RE2 as far as rules use it: no back references, no look-around, no captures.
 */
export class LinearRegExp {
  /** Instructions: how much a character of the text may cost. */
  readonly size: number;
  readonly #program: readonly Instruction[];

  /** Throws a plain Error for a pattern that it does not understand. */
  constructor(pattern: string) {
    this.#program = compile(new PatternParser(pattern).parse());
    this.size = this.#program.length;
  }

  /** Whether any part of the text matches. */
  test(text: string): boolean {
    const program = this.#program;
    const seen = new Uint32Array(program.length).fill(0);
    let characters: number[] = [];
    const codes = Array.from(text, (character) => character.codePointAt(0) ?? 0);
    for (let at = 0; at <= codes.length; at++) {
      const next: number[] = [];
      const place = { codes, at, mark: at + 1, seen };
      // A match may begin here too.
      for (const pc of [...characters, 0]) {
        if (follow(program, pc, { place, into: next })) return true;
      }
      characters = [];
      const code = codes[at];
      if (code === undefined) return false;
      for (const pc of next) {
        const instruction = program[pc];
        if (instruction?.op === 'character' && instruction.accepts(code)) characters.push(pc + 1);
      }
    }
    return false;
  }
}

type Assertion = 'start' | 'end' | 'boundary' | 'noBoundary';
type Accepts = (code: number) => boolean;

type Instruction =
  | { readonly op: 'character'; readonly accepts: Accepts }
  | { readonly op: 'split'; readonly to: readonly [number, number] }
  | { readonly op: 'jump'; readonly to: number }
  | { readonly op: 'assert'; readonly assertion: Assertion }
  | { readonly op: 'match' };

interface Place {
  readonly codes: readonly number[];
  readonly at: number;
  /** What `seen` holds for instructions that were visited at this place. */
  readonly mark: number;
  readonly seen: Uint32Array;
}

/** Goes on to all instructions that take a character, each once; whether the end was reached. */
function follow(
  program: readonly Instruction[],
  start: number,
  { place, into }: { place: Place; into: number[] },
): boolean {
  const open = [start];
  for (let pc = open.pop(); pc !== undefined; pc = open.pop()) {
    const instruction = program[pc];
    if (place.seen[pc] === place.mark || !instruction) continue;
    place.seen[pc] = place.mark;
    switch (instruction.op) {
      case 'match':
        return true;
      case 'character':
        into.push(pc);
        break;
      case 'split':
        open.push(...instruction.to);
        break;
      case 'jump':
        open.push(instruction.to);
        break;
      case 'assert':
        if (holds(instruction.assertion, place)) open.push(pc + 1);
    }
  }
  return false;
}

function holds(assertion: Assertion, { codes, at }: Place): boolean {
  if (assertion === 'start') return at === 0;
  if (assertion === 'end') return at === codes.length;
  const isBoundary = isWord(codes[at - 1]) !== isWord(codes[at]);
  return isBoundary === (assertion === 'boundary');
}

type Node =
  | { readonly kind: 'character'; readonly accepts: Accepts }
  | { readonly kind: 'assert'; readonly assertion: Assertion }
  | { readonly kind: 'all'; readonly parts: readonly Node[] }
  | { readonly kind: 'any'; readonly options: readonly Node[] }
  | { readonly kind: 'repeat'; readonly node: Node; readonly min: number; readonly max: number };

const maxInstructions = 5_000;
const maxRepeat = 1_000;
const maxGroups = 200;

function compile(root: Node): Instruction[] {
  const program: Instruction[] = [];
  const add = (instruction: Instruction): number => {
    if (program.length >= maxInstructions) throw new Error('the pattern is too large');
    return program.push(instruction) - 1;
  };
  const emit = (node: Node): void => {
    switch (node.kind) {
      case 'character':
        add({ op: 'character', accepts: node.accepts });
        break;
      case 'assert':
        add({ op: 'assert', assertion: node.assertion });
        break;
      case 'all':
        for (const part of node.parts) emit(part);
        break;
      case 'any':
        emitAny(node.options);
        break;
      case 'repeat':
        for (let i = 0; i < node.min; i++) emit(node.node);
        if (node.max === Infinity) emitLoop(node.node);
        else emitOptional(node.node, node.max - node.min);
    }
  };
  const emitAny = ([first, ...others]: readonly Node[]): void => {
    if (!first) return;
    if (others.length === 0) {
      emit(first);
      return;
    }
    const split = add({ op: 'jump', to: 0 });
    emit(first);
    const jump = add({ op: 'jump', to: 0 });
    program[split] = { op: 'split', to: [split + 1, program.length] };
    emitAny(others);
    program[jump] = { op: 'jump', to: program.length };
  };
  const emitLoop = (node: Node): void => {
    const split = add({ op: 'jump', to: 0 });
    emit(node);
    add({ op: 'jump', to: split });
    program[split] = { op: 'split', to: [split + 1, program.length] };
  };
  const emitOptional = (node: Node, times: number): void => {
    const splits: number[] = [];
    for (let i = 0; i < times; i++) {
      splits.push(add({ op: 'jump', to: 0 }));
      emit(node);
    }
    for (const split of splits) program[split] = { op: 'split', to: [split + 1, program.length] };
  };
  emit(root);
  add({ op: 'match' });
  return program;
}

const between =
  (from: number, to: number): Accepts =>
  (code) =>
    code >= from && code <= to;
const only =
  (wanted: number): Accepts =>
  (code) =>
    code === wanted;
const anyOf =
  (tests: readonly Accepts[]): Accepts =>
  (code) =>
    tests.some((accepts) => accepts(code));
const not =
  (accepts: Accepts): Accepts =>
  (code) =>
    !accepts(code);
const codeOf = (character: string): number => character.codePointAt(0) ?? 0;

const digit = between(0x30, 0x39);
const word = anyOf([digit, between(0x41, 0x5a), between(0x61, 0x7a), only(0x5f)]);
const space = anyOf([between(0x09, 0x0a), between(0x0c, 0x0d), only(0x20)]);
const lineFeed = only(0x0a);
const isWord = (code: number | undefined): boolean => code !== undefined && word(code);

const classes: Readonly<Record<string, Accepts>> = {
  d: digit,
  D: not(digit),
  w: word,
  W: not(word),
  s: space,
  S: not(space),
};
const controls: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, f: 0x0c, v: 0x0b, a: 0x07 };

class PatternParser {
  readonly #pattern: readonly string[];
  #at = 0;
  #depth = 0;
  #ignoresCase = false;

  constructor(pattern: string) {
    this.#pattern = Array.from(pattern);
  }

  parse(): Node {
    if (this.#take('(?i)')) this.#ignoresCase = true;
    const node = this.#alternatives();
    if (this.#at < this.#pattern.length) throw this.#fault('an unmatched )');
    return node;
  }

  #alternatives(): Node {
    const options = [this.#sequence()];
    while (this.#take('|')) options.push(this.#sequence());
    return { kind: 'any', options };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (;;) {
      const next = this.#pattern[this.#at];
      if (next === undefined || next === '|' || next === ')') return { kind: 'all', parts };
      parts.push(this.#repeated(this.#atom()));
    }
  }

  #repeated(node: Node): Node {
    const range = this.#range();
    if (!range) return node;
    // Lazy or not makes no difference to whether it matches.
    this.#take('?');
    if (this.#range()) throw this.#fault('a repetition of a repetition');
    return { kind: 'repeat', node, ...range };
  }

  #range(): { min: number; max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Infinity };
    if (this.#take('+')) return { min: 1, max: Infinity };
    if (this.#take('?')) return { min: 0, max: 1 };
    const text = /^\{(\d{1,4})(,?)(\d{0,4})\}/.exec(this.#pattern.slice(this.#at, this.#at + 11).join(''));
    if (!text) return undefined;
    this.#at += text[0].length;
    const min = Number(text[1]);
    const open = text[3] === '' ? Infinity : Number(text[3]);
    const max = text[2] === '' ? min : open;
    if (min > maxRepeat || (max !== Infinity && max > maxRepeat) || max < min) {
      throw this.#fault('a wrong number of repetitions');
    }
    return { min, max };
  }

  #atom(): Node {
    const character = this.#next();
    switch (character) {
      case '(':
        return this.#group();
      case '[':
        return { kind: 'character', accepts: this.#folded(this.#set()) };
      case '.':
        return { kind: 'character', accepts: not(lineFeed) };
      case '^':
        return { kind: 'assert', assertion: 'start' };
      case '$':
        return { kind: 'assert', assertion: 'end' };
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw this.#fault('a repetition of nothing');
      default:
        return { kind: 'character', accepts: this.#folded(only(codeOf(character))) };
    }
  }

  #group(): Node {
    if (++this.#depth > maxGroups) throw this.#fault('too many groups');
    const isPlain = this.#take('?:');
    if (!isPlain && this.#pattern[this.#at] === '?' && !this.#takeName()) {
      throw this.#fault('a kind of group that is not supported');
    }
    const node = this.#alternatives();
    if (!this.#take(')')) throw this.#fault('a group without an end');
    return node;
  }

  /** `(?P<name>…)`: the name has no meaning here. */
  #takeName(): boolean {
    const text = /^\?P?<\w+>/.exec(this.#pattern.slice(this.#at, this.#at + 70).join(''));
    if (text) this.#at += text[0].length;
    return text !== null;
  }

  #escape(): Node {
    const character = this.#next();
    if (character === 'b') return { kind: 'assert', assertion: 'boundary' };
    if (character === 'B') return { kind: 'assert', assertion: 'noBoundary' };
    if (character === 'A') return { kind: 'assert', assertion: 'start' };
    if (character === 'z') return { kind: 'assert', assertion: 'end' };
    const known = classes[character];
    if (known) return { kind: 'character', accepts: known };
    return { kind: 'character', accepts: this.#folded(only(this.#escaped(character))) };
  }

  #escaped(character: string): number {
    const control = controls[character];
    if (control !== undefined) return control;
    if (/[A-Za-z0-9]/.test(character)) throw this.#fault(`\\${character}, which is not supported`);
    return codeOf(character);
  }

  #set(): Accepts {
    const isNegated = this.#take('^');
    const tests: Accepts[] = [];
    for (let isFirst = true; isFirst || !this.#take(']'); isFirst = false) {
      const from = this.#setMember();
      if (typeof from === 'function') {
        tests.push(from);
      } else if (this.#pattern[this.#at] === '-' && this.#pattern[this.#at + 1] !== ']') {
        this.#at++;
        const to = this.#setMember();
        if (typeof to === 'function' || to < from) throw this.#fault('a wrong range of characters');
        tests.push(between(from, to));
      } else {
        tests.push(only(from));
      }
    }
    const accepts = this.#folded(anyOf(tests));
    return isNegated ? not(accepts) : accepts;
  }

  #setMember(): number | Accepts {
    const character = this.#next();
    if (character === '[' && this.#pattern[this.#at] === ':') {
      throw this.#fault('a named class of characters, which is not supported');
    }
    if (character !== '\\') return codeOf(character);
    const escaped = this.#next();
    return classes[escaped] ?? this.#escaped(escaped);
  }

  #folded(accepts: Accepts): Accepts {
    if (!this.#ignoresCase) return accepts;
    return (code) => {
      const character = String.fromCodePoint(code);
      const forms = [character, character.toLowerCase(), character.toUpperCase()];
      return forms.some((form) => accepts(codeOf(form)));
    };
  }

  #take(text: string): boolean {
    const isNext = Array.from(text).every((character, i) => this.#pattern[this.#at + i] === character);
    if (isNext) this.#at += text.length;
    return isNext;
  }

  #next(): string {
    const character = this.#pattern[this.#at++];
    if (character === undefined) throw this.#fault('an end too early');
    return character;
  }

  #fault(what: string): Error {
    return new Error(`the pattern ${JSON.stringify(this.#pattern.join(''))} has ${what}`);
  }
}
