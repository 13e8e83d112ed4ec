import type { Context } from 'koa'

/**
 * The patterns of the routes that answer a request, or would: a guard in front of them is asked before the router comes to
 * them, and while it is asked the router's own word, `_matchedRoute`, is the guard's prefix.
 */
export function matchedRoutes(ctx: Context): string[] {
  const method = ctx.method === 'HEAD' ? 'GET' : ctx.method
  const layers = ((ctx as { matched?: { methods: string[]; path: string | RegExp }[] }).matched ?? []).filter(({ methods }) => methods.includes(method))
  return layers.map(({ path }) => String(path).replace(/(?<=.)\/$/, ''))
}
