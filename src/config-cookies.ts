/** The variables of origins, and of sessions in cookies. */
import { z } from 'zod'
import { emptyIsAbsent, integer, text, type Environment } from './config-values.ts'

export const cookieVariables = {
  COOKIE_AUTH: z.preprocess(emptyIsAbsent, z.enum(['true', 'false'], 'must be true or false').default('false')),
  COOKIE_NAME: text,
  CSRF_TOKEN_SECONDS: integer(43_200, 60, 604_800),
}

export type CookieConfig = ReturnType<typeof toCookieConfig>

type CookieEnvironment = z.infer<z.ZodObject<typeof cookieVariables>>

/** @returns undefined where cookies are nobody's proof. */
export function toCookieConfig(env: CookieEnvironment, supabaseUrl: string) {
  if (env.COOKIE_AUTH === 'false') return undefined
  return {
    // As supabase-js names it.
    name: env.COOKIE_NAME ?? `sb-${new URL(supabaseUrl).hostname.split('.')[0]}-auth-token`,
    csrfTokenSeconds: env.CSRF_TOKEN_SECONDS,
  }
}

/** What is wrong with the origins, which browsers compare to the letter. */
export function originProblems(origins: readonly string[], env: Environment): string[] {
  const problems = origins
    .filter((origin) => !/^[a-z][a-z0-9+.-]*:\/\/[^/?#@]+$/.test(origin) || (URL.canParse(origin) && /^https?:$/.test(new URL(origin).protocol) && new URL(origin).origin !== origin))
    .map((origin) => `CORS_ORIGINS names ${JSON.stringify(origin)}: give an origin as browsers write it, without a path or a star (https://app.example.com)`)
  if (env.COOKIE_AUTH?.trim() === 'true' && origins.length === 0) problems.push('CORS_ORIGINS is missing: with COOKIE_AUTH=true a browser’s cookies open the API, so it must be known whose pages may')
  return problems
}
