/** Trying again would not help: a person has to do something, and the message says what. The program ends with exit code 2. */
export class EnrolmentRefused extends Error {
  override readonly name = 'EnrolmentRefused';
}
