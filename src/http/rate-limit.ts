/** Limits on requests, told in the standard's headers (draft-ietf-httpapi-ratelimit-headers): `RateLimit`, `RateLimit-Policy`. */
import ipaddr from 'ipaddr.js'
import type { Context, Middleware } from 'koa'
import { AppError } from '../errors.ts'
import type { LimitName, RateLimits, Verdict } from '../rate-limits.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'

/** What a network hands to one customer: whoever has an IPv6 address has at least so many. */
const IPV6_PREFIX_BITS = 64

const WHAT: Readonly<Record<LimitName, string>> = {
  ip: 'requests from this address',
  user: 'requests',
  images: 'pictures asked for',
  videos: 'videos asked for',
  model: 'requests for this model',
}

/** For everybody, before anybody is known. */
export const limitAddress = (limits: RateLimits): Middleware => async (ctx, next) => {
  if (/^\/(api|oauth)\//.test(ctx.path)) await take(ctx, limits, 'ip', toNetwork(ctx.ip))
  await next()
}

/** For each user, whatever they ask. */
export const limitUser = (limits: RateLimits): Middleware => async (ctx, next) => {
  await take(ctx, limits, 'user', (ctx.state.user as AuthenticatedUser).id)
  await next()
}

/** @throws {AppError} `rate_limited` */
export async function limitKind(ctx: Context, limits: RateLimits, kind: 'images' | 'videos'): Promise<void> {
  await take(ctx, limits, kind, (ctx.state.user as AuthenticatedUser).id)
}

/** @param model that will do the work, whatever it was called in the request. @throws {AppError} `rate_limited` */
export async function limitModel(ctx: Context, limits: RateLimits, model: string): Promise<void> {
  await take(ctx, limits, 'model', `${(ctx.state.user as AuthenticatedUser).id}:${model}`)
}

async function take(ctx: Context, limits: RateLimits, name: LimitName, key: string): Promise<void> {
  const verdict = await limits.take(name, key)
  if (!verdict) return
  tell(ctx, verdict)
  if (verdict.isAllowed) return
  ctx.state.limit = `rate_${name}`
  throw new AppError('rate_limited', `Too many ${WHAT[name]}: ${verdict.limit} in ${verdict.windowSeconds} seconds are allowed. Try again in ${verdict.resetSeconds} seconds.`, { retryAfterSeconds: verdict.resetSeconds })
}

function tell(ctx: Context, { name, limit, remaining, resetSeconds, windowSeconds }: Verdict): void {
  ctx.append('RateLimit-Policy', `"${name}";q=${limit};w=${windowSeconds}`)
  ctx.append('RateLimit', `"${name}";r=${remaining};t=${resetSeconds}`)
}

/** An IPv4 address as it is, however it is written, and an IPv6 one as its network. */
function toNetwork(ip: string): string {
  if (!ipaddr.isValid(ip)) return ip
  const address = ipaddr.process(ip)
  if (address.kind() === 'ipv4') return address.toString()
  return (address as ipaddr.IPv6).parts.slice(0, IPV6_PREFIX_BITS / 16).map((part) => part.toString(16)).join(':')
}
