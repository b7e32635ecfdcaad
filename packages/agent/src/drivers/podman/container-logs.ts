import type { LibpodClient } from './libpod-client.ts';
import { stripFrames } from './probes/output-frames.ts';

const maxLines = 20;
const maxLineLength = 500;

/** The last lines that a container wrote; none when it is gone. */
export async function lastLogLines(client: LibpodClient, containerId: string): Promise<string[]> {
  try {
    const bytes = await client.bytes({
      path: `/containers/${containerId}/logs`,
      query: { stdout: true, stderr: true, tail: maxLines },
      timeoutMilliseconds: 10_000,
    });
    const lines = stripFrames(bytes)
      .split('\n')
      .map((line) => line.trimEnd());
    return lines
      .filter((line) => line !== '')
      .slice(-maxLines)
      .map((line) => line.slice(0, maxLineLength));
  } catch {
    return [];
  }
}
