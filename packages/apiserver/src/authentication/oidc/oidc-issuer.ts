/** One issuer whose ID tokens are taken, as in `jwt[]` of Kubernetes' AuthenticationConfiguration. */
export interface OidcIssuer {
  /** `https://…`, exactly as in the claim `iss`. */
  readonly url: string;
  /** Where the discovery document is, when not at `url`/.well-known/openid-configuration. */
  readonly discoveryUrl?: string;
  /** PEM of whom the issuer's certificate comes from; absent: those of Node and of the machine. */
  readonly authority?: string;
  /** A token has to name one of them. */
  readonly audiences: readonly string[];
  /** A token has to have each of these claims with this value. */
  readonly requiredClaims: readonly { readonly claim: string; readonly value: string }[];
  readonly username: PrefixedClaim;
  readonly groups?: PrefixedClaim;
  readonly uidClaim?: string;
}

export interface PrefixedClaim {
  readonly claim: string;
  /** Put in front of the value; may be empty. */
  readonly prefix: string;
}
