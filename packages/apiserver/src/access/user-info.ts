/** Who asks. From the client certificate: common name and organisations. */
export interface UserInfo {
  readonly name: string;
  readonly groups: readonly string[];
}
