/**
 * One line without control characters. For a person's terminal: what sites, hubs and registries say must not be able to steer
 * it.
 */
export function printable(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/\p{Cc}/gu, '');
}

/** Control characters but line breaks and tabs as `\u001b`: within JSON that means the same. */
export function escapeControls(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => {
    if (character === '\n' || character === '\t') return character;
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
