/** Whose request it is: `ctx.state.user` behind the guard. */
import type { Scope } from '../keys/scopes.ts'

export interface AuthenticatedUser {
  id: string
  isAnonymous: boolean
  /** How the request proved whose it is: `token` and `cookie` are the user in person, with a Supabase access token. */
  method: 'token' | 'cookie' | 'key' | 'signature' | 'oauth'
  /** The API key behind the request; absent for the user in person. */
  keyId?: string
  /** What the request may do; absent for the user in person, who may do everything. */
  scopes?: readonly Scope[]
}
