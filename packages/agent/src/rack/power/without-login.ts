import { printable } from '@selvedge/api';
import { LoginRefused, type PowerDriver, PowerError, type PowerLogin } from './power-driver.ts';

/** What is shorter stands in too many words to be taken out of them. */
const shortestSecret = 3;

/** The same driver, whose errors never hold a secret of the login: BMCs quote what they refuse, and errors become status of the Machine. */
export function withoutLogin(driver: PowerDriver, login: PowerLogin): PowerDriver {
  const words = secretWords(login);
  if (words.length === 0) return driver;
  const discreet = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw error instanceof PowerError ? withoutWords(error, words) : error;
    }
  };
  return {
    get abilities() {
      return driver.abilities;
    },
    state: (signal) => discreet(() => driver.state(signal)),
    turn: (action, signal) => discreet(() => driver.turn(action, signal)),
    setBoot: (setting, signal) => discreet(() => driver.setBoot(setting, signal)),
    identify: (signal) => discreet(() => driver.identify(signal)),
    ...(driver.bootMedia && {
      bootMedia: (image, signal) => discreet(async () => driver.bootMedia?.(image, signal)),
    }),
    ...(driver.ejectMedia && { ejectMedia: (signal) => discreet(async () => driver.ejectMedia?.(signal)) }),
    close: () => discreet(() => driver.close()),
  };
}

/** Each secret in the forms in which a BMC may give it back, the longest first. */
function secretWords({ username = '', password, kg, token }: PowerLogin): string[] {
  const secrets = [password, kg, token].filter((text) => text !== undefined);
  const basic = password === undefined ? [] : [Buffer.from(`${username}:${password}`).toString('base64')];
  const words = secrets.flatMap((text) => [
    text,
    printable(text),
    JSON.stringify(text).slice(1, -1),
    encodeURIComponent(text),
  ]);
  return [...new Set([...words, ...basic])]
    .filter(({ length }) => length >= shortestSecret)
    .toSorted((one, other) => other.length - one.length);
}

/** A new one, without the cause: that holds the same words, and so does a stack. */
function withoutWords(error: PowerError, words: readonly string[]): PowerError {
  const message = words.reduce((text, word) => text.replaceAll(word, '…'), error.message);
  if (message === error.message) return error;
  if (error instanceof LoginRefused) return new LoginRefused(message);
  return new PowerError(error.reason, message, { isPassing: error.isPassing });
}
