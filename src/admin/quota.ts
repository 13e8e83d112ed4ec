/** Limits of one user's own: bytes in storage, US dollars in a month. */
import { findUsage, setLimit } from '../supabase/usage.ts'
import { parseBytes } from './bytes.ts'
import { parseUserId, UsageError, type AdminCommand, type AdminContext } from './command.ts'

/** What takes a user's own limit away again. */
const DEFAULT = 'default'

export const quota: AdminCommand = {
  usage: `<user> <size>

  <user>  the id (Dashboard, Authentication)
  <size>  5GiB, 500MB or bytes; default for STORAGE_QUOTA_BYTES

Files that are there stay, also when they are more than that. Prints the user's usage.`,
  options: {},
  arguments: ['user', 'size'],
  run: (context) => limit(context, 'quota_bytes', parseBytes),
}

export const budget: AdminCommand = {
  usage: `<user> <amount>

  <user>    the id (Dashboard, Authentication)
  <amount>  US dollars for a calendar month (UTC), such as 20 or 12.50; default for MONTHLY_BUDGET_USD

Models whose price nobody knows are refused to users with a budget. Prints the user's usage.`,
  options: {},
  arguments: ['user', 'amount'],
  run: (context) => limit(context, 'budget_micros', parseDollars),
}

async function limit({ arguments: [user, value = ''], database, config, print }: AdminContext, name: 'quota_bytes' | 'budget_micros', parse: (text: string) => number): Promise<void> {
  const userId = parseUserId(user)
  const wanted = value === DEFAULT ? null : parse(value)
  if (!(await setLimit(database.query, userId, name, wanted))) throw new Error(`There is no user ${userId}.`)
  await print({ user: userId, ...(await findUsage(database.query, userId, config.generation.limits)) })
}

function parseDollars(text: string): number {
  if (!/^\d{1,9}(\.\d{1,6})?$/.test(text)) throw new UsageError(`${JSON.stringify(text)} is no amount in US dollars: write 20 or 12.50.`)
  return Math.round(Number(text) * 1_000_000)
}
