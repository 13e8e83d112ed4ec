/** What two clients send to one vendor for the same wish, told apart field by field and held against a list of reasons. */
import { inspect, isDeepStrictEqual } from 'node:util'

/** A request by its fields: `method`, `url`, `header accept`, `body content[0].text`. */
export type SentRequest = Record<string, unknown>

/** A difference in one field of one request; undefined is what was not sent. */
export interface Difference {
  request: string
  field: string
  ours: unknown
  theirs: unknown
}

/** The value that is sent, undefined for none, or what it must fulfil. */
type Expected<Input> = string | number | boolean | undefined | ((value: unknown, input: Input) => boolean)

export interface ListedDifference<Input> {
  /** The requests in which it is: in each of them, where `when` holds. */
  requests: readonly string[]
  /** A field's name, or its beginning and `*`. */
  field: string
  /** The inputs that it is seen with: with all of them and no others. */
  when: (input: Input) => boolean
  ours: Expected<Input>
  theirs: Expected<Input>
  why: string
}

/** A `fetch` that sends nothing. @param answer the JSON that a request is answered with. */
export function recordRequests(answer: (request: Request) => unknown): { fetch: typeof fetch; sent: SentRequest[] } {
  const sent: SentRequest[] = []
  const record = async (...given: Parameters<typeof fetch>): Promise<Response> => {
    const request = new Request(...given)
    sent.push(await toFields(request))
    return Response.json(answer(request))
  }
  return { fetch: record, sent }
}

async function toFields(request: Request): Promise<SentRequest> {
  const headers = [...request.headers].map(([name, value]) => [`header ${name}`, value] as const)
  const text = await request.text()
  const body = text === '' ? [] : leavesOf(JSON.parse(text), 'body ')
  return Object.fromEntries([['method', request.method], ['url', request.url], ...headers, ...body])
}

/** The values within a value, each with the way to it. Something empty is a value of its own. */
function leavesOf(value: unknown, path: string): [path: string, value: unknown][] {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) return [[path, value]]
  const toPath = (key: string) => (Array.isArray(value) ? `${path}[${key}]` : path.endsWith(' ') ? path + key : `${path}.${key}`)
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, toPath(key)))
}

/** @param names what each request is for, in their order. A request that only one of them sends differs in all its fields. */
export function differencesOf(names: readonly string[], ours: readonly SentRequest[], theirs: readonly SentRequest[]): Difference[] {
  const count = Math.max(names.length, ours.length, theirs.length)
  return Array.from({ length: count }, (_, at) => {
    const [mine = {}, other = {}] = [ours[at], theirs[at]]
    const fields = [...new Set([...Object.keys(mine), ...Object.keys(other)])].filter((field) => !isDeepStrictEqual(mine[field], other[field]))
    return fields.map((field) => ({ request: names[at] ?? `request ${at + 1}`, field, ours: mine[field], theirs: other[field] }))
  }).flat()
}

/** @returns the differences that the list does not explain once, and those of the list that are not there. */
export function complaintsAbout<Input>(input: Input, found: readonly Difference[], list: readonly ListedDifference<Input>[]): string[] {
  const due = list.filter(({ when }) => when(input))
  const unlisted = found.filter((difference) => due.filter((listed) => isThe(difference, listed, input)).length !== 1)
  const gone = due.flatMap((listed) => listed.requests.filter((request) => !found.some((difference) => difference.request === request && isThe(difference, listed, input))).map((request) => ({ request, field: listed.field })))
  return [
    ...unlisted.map(({ request, field, ours, theirs }) => `${request}: ${field} is not listed: ours ${show(ours)}, theirs ${show(theirs)}`),
    ...gone.map(({ request, field }) => `${request}: ${field} is listed and does not differ so`),
  ]
}

function isThe<Input>({ request, field, ours, theirs }: Difference, listed: ListedDifference<Input>, input: Input): boolean {
  const isField = listed.field.endsWith('*') ? field.startsWith(listed.field.slice(0, -1)) : field === listed.field
  return isField && listed.requests.includes(request) && meets(ours, listed.ours, input) && meets(theirs, listed.theirs, input)
}

const meets = <Input>(value: unknown, expected: Expected<Input>, input: Input): boolean => (typeof expected === 'function' ? expected(value, input) : value === expected)

const show = (value: unknown): string => inspect(value, { maxStringLength: 80 })
