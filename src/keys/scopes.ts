/** What a key may do: a kind of media and an action. Whoever may generate gets the answer; looking at it again is `read`. */
import { AppError } from '../errors.ts'

export const SCOPES = ['images:generate', 'images:read', 'videos:generate', 'videos:read'] as const

export type Scope = (typeof SCOPES)[number]

export type Action = 'generate' | 'read'

export const isScope = (text: string): text is Scope => (SCOPES as readonly string[]).includes(text)

/** The scopes of an action on a kind of generation, or on every kind. */
export const scopesFor = (kind: string | undefined, action: Action): Scope[] => SCOPES.filter((scope) => (kind === undefined ? scope.endsWith(`:${action}`) : scope === `${kind}s:${action}`))

/**
 * @param granted undefined for the user in person, who may do everything.
 * @throws {AppError} `insufficient_scope` that names what is missing.
 */
export function demandScopes(granted: readonly Scope[] | undefined, needed: readonly Scope[]): void {
  const missing = granted === undefined ? [] : needed.filter((scope) => !granted.includes(scope))
  if (missing.length === 0) return
  throw new AppError('insufficient_scope', `This key may not do that: it lacks ${missing.join(' and ')}.`, { details: missing.map((scope) => ({ path: 'scope', message: `${scope} is missing` })) })
}
