import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import type { ApiKey, ApiKeyStore } from '../keys/api-key.ts'
import { KEY_ID } from '../keys/key-text.ts'
import { SCOPES } from '../keys/scopes.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import { jsonBody, parseBody } from './json-body.ts'

export interface ApiKeyRoutesOptions {
  authenticate: Middleware
  apiKeys: ApiKeyStore
  maxJsonBytes: number
}

const MAX_DAYS = 3650
/** A week: long enough to bring a new key to every server. */
const MAX_OVERLAP_MINUTES = 10_080

export const newKeySchema = z.strictObject({
  name: z.string().trim().min(1).max(100).refine((name) => !name.includes('\0') && name.isWellFormed(), 'must be plain text').describe('What you know it by.'),
  scopes: z.array(z.enum(SCOPES)).min(1).max(SCOPES.length).default([...SCOPES]).describe('What it may do.'),
  expiresInDays: z.int().min(1).max(MAX_DAYS).optional().describe('After which it ends; never where absent.'),
  signedOnly: z.boolean().default(false).describe('Whether it may only sign requests, and never be sent itself.'),
})

export const rotationSchema = z.strictObject({ overlapMinutes: z.int().min(0).max(MAX_OVERLAP_MINUTES).describe('How long the old key works on beside the new one.') })

/** For the user in person: no key may make, see or end keys (see route-scopes.ts). */
export function apiKeyRoutes({ authenticate, apiKeys, maxJsonBytes }: ApiKeyRoutesOptions): Router {
  const router = new Router({ prefix: '/api/keys', sensitive: true })
  const json = jsonBody({ maxBytes: maxJsonBytes })
  router.use(authenticate)
  router.use(async (ctx, next) => {
    ctx.set('Cache-Control', 'no-store')
    await next()
  })

  router.get('/', async (ctx) => {
    const now = new Date()
    ctx.body = { keys: (await apiKeys.list(userOf(ctx).id)).map((apiKey) => toKeyResponse(apiKey, now)) }
  })

  router.post('/', ...json, async (ctx) => {
    const input = parseBody(newKeySchema, ctx)
    // Whoever signs in anew is another user then, and nobody could ever end the key.
    if (userOf(ctx).isAnonymous) throw new AppError('forbidden', 'Anonymous users cannot have API keys. Sign up first.')
    ctx.status = 201
    ctx.body = toNewKeyResponse(await apiKeys.create(userOf(ctx).id, { ...input, scopes: [...new Set(input.scopes)] }))
  })

  router.post('/:id/rotate', ...json, async (ctx) => {
    const { overlapMinutes } = parseBody(rotationSchema, ctx)
    const made = await apiKeys.rotate(idOf(ctx), userOf(ctx).id, overlapMinutes)
    if (!made) throw unknownKey()
    ctx.status = 201
    ctx.body = toNewKeyResponse(made)
  })

  router.delete('/:id', async (ctx) => {
    if (!(await apiKeys.revoke(idOf(ctx), userOf(ctx).id))) throw unknownKey()
    ctx.status = 204
  })

  return router
}

const userOf = (ctx: Context): AuthenticatedUser => ctx.state.user as AuthenticatedUser

function idOf(ctx: Context): string {
  const { id } = ctx.params as { id: string }
  if (!KEY_ID.test(id)) throw unknownKey()
  return id
}

const unknownKey = () => new AppError('not_found', 'There is no such key of yours.')

/** `key` is told this once. */
const toNewKeyResponse = ({ apiKey, key }: { apiKey: ApiKey; key: string }) => ({ ...toKeyResponse(apiKey, new Date()), key })

function toKeyResponse(apiKey: ApiKey, now: Date) {
  return {
    id: apiKey.id,
    name: apiKey.name,
    prefix: apiKey.prefix,
    state: stateOf(apiKey, now),
    scopes: apiKey.scopes,
    signedOnly: apiKey.signedOnly,
    createdAt: apiKey.createdAt.toISOString(),
    expiresAt: apiKey.expiresAt?.toISOString() ?? null,
    lastUsedAt: apiKey.lastUsedAt?.toISOString() ?? null,
    revokedAt: apiKey.revokedAt?.toISOString() ?? null,
    replacedBy: apiKey.replacedBy,
    overlapUntil: apiKey.overlapUntil?.toISOString() ?? null,
  }
}

/** `replaced` works until `overlapUntil`; `revoked` and `expired` work no more. */
function stateOf({ revokedAt, expiresAt, overlapUntil, replacedBy }: ApiKey, now: Date): 'active' | 'replaced' | 'expired' | 'revoked' {
  if (revokedAt) return 'revoked'
  if ((expiresAt && expiresAt <= now) || (overlapUntil && overlapUntil <= now)) return 'expired'
  return replacedBy === null ? 'active' : 'replaced'
}
