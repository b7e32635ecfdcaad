/** What an image's name stands for now. */
export type ResolvedImage =
  | { readonly image: string; readonly resolved: string }
  /** It cannot be looked up: why, for people. `isLasting`: the registry answered that there is no such image, or no right to it. */
  | { readonly image: string; readonly unknown: string; readonly isLasting: boolean };

export interface ImageResolver {
  /**
   * Names with their digest (`registry/app:1.2@sha256:…`: the tag stays for people), in the order asked; one with a digest is what it is. Names with
   * `${…}` are left alone (`unknown`). Never throws but for the signal.
   */
  resolve(
    namespace: string,
    images: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly ResolvedImage[]>;
}
