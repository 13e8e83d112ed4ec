/** Headers that decide something must be there once: of several, another server may have read another one. */
import type { IncomingMessage } from 'node:http'
import { AppError } from '../errors.ts'

/**
 * @param name in lower case.
 * @returns the header's value, `''` where there is none.
 * @throws {AppError} `unauthenticated` when it is there several times.
 */
export function onlyHeader({ rawHeaders }: IncomingMessage, name: string): string {
  let found: string | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const key = rawHeaders[at]!
    if (key.length !== name.length || key.toLowerCase() !== name) continue
    if (found !== undefined) throw new AppError('unauthenticated', `The header ${key} must be sent once.`)
    found = rawHeaders[at + 1]
  }
  return found ?? ''
}
