/** Whatever could let somebody in is taken out of a request's body before it is kept, wherever it stands. */

/** How much of a value is looked at, in characters: the rest is left out. */
export interface Budget {
  left: number
  /** Whether something was left out. */
  isSpent: boolean
}

export const createBudget = (characters: number): Budget => ({ left: characters, isSpent: false })

export const REMOVED = '[removed]'

/** Deeper values say nothing to anybody, and a parser lets a hundred thousand levels through. */
const MAX_DEPTH = 32
/** What is looked at beyond a cut: a secret that is cut apart is recognised all the same. */
const MARGIN = 512

/** Names as they are compared: `X-API-Key`, `x_api_key` and `xApiKey` are one. */
const normalise = (name: string): string => name.normalize('NFKC').toLowerCase().replace(/[^a-z0-9]/g, '')

const SENSITIVE_PART = /authorization|token|password|passwd|passphrase|secret|cookie|credential|apikey|jwt|bearer|keys?$/
const SENSITIVE_WORDS = new Set(['auth', 'pass', 'pwd', 'pin', 'otp', 'sid', 'session', 'sessionid'])
/** Numbers of tokens are no tokens. */
const COUNTED_TOKENS = /^(max|min|prompt|completion|input|output|reasoning|total).*tokens?$/

export function isSensitiveName(name: string): boolean {
  const normal = normalise(name)
  return SENSITIVE_PART.test(normal) || SENSITIVE_WORDS.has(normal)
}

/** A copy without secrets, of what JSON can hold. Work and result are bounded by the budget. */
export function removeSecrets(value: unknown, budget: Budget, depth = 0): unknown {
  budget.left -= 1
  if (typeof value === 'string') return cleanText(value, budget, depth)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_DEPTH || budget.left <= 0) {
    budget.isSpent = true
    return '[left out]'
  }
  return Array.isArray(value) ? cleanList(value, budget, depth) : cleanObject(value, budget, depth)
}

function cleanList(list: unknown[], budget: Budget, depth: number): unknown[] {
  // Headers are often kept as pairs.
  if (list.length === 2 && isSensitiveHeader(list[0])) return [list[0], REMOVED]
  const cleaned: unknown[] = []
  for (const item of list) {
    if (isOver(budget)) break
    cleaned.push(removeSecrets(item, budget, depth + 1))
  }
  return cleaned
}

const NAME_FIELDS = ['name', 'key', 'header', 'field']
const isSensitiveHeader = (value: unknown): value is string => typeof value === 'string' && /^[\w-]{1,60}$/.test(value) && isSensitiveName(value)

function cleanObject(object: object, budget: Budget, depth: number): object {
  // The other way headers are kept: { name: 'Authorization', value: '…' }.
  const named = Object.entries(object).some(([field, value]) => NAME_FIELDS.includes(field.toLowerCase()) && isSensitiveHeader(value))
  const cleaned: [string, unknown][] = []
  for (const [name, value] of Object.entries(object)) {
    if (isOver(budget)) break
    budget.left -= name.length
    const isNameField = named && NAME_FIELDS.includes(name.toLowerCase())
    const isRemoved = !isNameField && (isSecret(name, value) || (named && typeof value === 'string'))
    cleaned.push([cutText(name, 200), isRemoved ? REMOVED : removeSecrets(value, budget, depth + 1)])
  }
  return Object.fromEntries(cleaned)
}

const isSecret = (name: string, value: unknown): boolean => isSensitiveName(name) && !(typeof value === 'number' && COUNTED_TOKENS.test(normalise(name)))

function isOver(budget: Budget): boolean {
  if (budget.left <= 0) budget.isSpent = true
  return budget.isSpent
}

function cleanText(text: string, budget: Budget, depth: number): unknown {
  // A form's field may be JSON by itself.
  if (depth < MAX_DEPTH && text.length <= budget.left && /^\s*[[{]/.test(text)) {
    const parsed = parseJson(text)
    if (parsed !== undefined) return removeSecrets(parsed, budget, depth + 1)
  }
  const length = Math.max(0, budget.left)
  if (text.length > length) budget.isSpent = true
  budget.left -= text.length
  return cutText(text, length)
}

const cutText = (text: string, length: number): string => removeFromText(text.slice(0, length + MARGIN)).slice(0, length)

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** Each is bounded wherever it could look far: what is searched is somebody else's. */
const SECRETS_IN_TEXT: [RegExp, string][] = [
  [/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END|$)/g, REMOVED],
  // A token that was cut off counts too.
  [/(?<![A-Za-z0-9])eyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g, REMOVED],
  [/(?<![A-Za-z0-9])sb_(?:secret|publishable)_[\w-]*/g, REMOVED],
  [/(?<![A-Za-z0-9])(?:sk|rk)[-_][\w-]{12,}/g, REMOVED],
  [/(?<![A-Za-z0-9])(?:drk_|r8_|AIza|AKIA|gh[pousr]_|github_pat_|xox[abprs]-|whsec_|key_|hf_)[\w-]{16,}/g, REMOVED],
  // fal's keys.
  [/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}:[0-9a-f]{16,}/gi, REMOVED],
  [/\b(Bearer|Basic)\s{1,10}[\w.~+/=-]{4,}/gi, `$1 ${REMOVED}`],
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/[^\s:/@]{0,200}):[^\s@/]{1,500}@/gi, `$1:${REMOVED}@`],
  [/([?&#][\w.-]{0,60}(?:token|signature|sig|secret|password|key|credential)[\w.-]{0,60}=)[^&\s"'\\]{1,8192}/gi, `$1${REMOVED}`],
  [/\b((?:set-)?cookie\\{0,3}["']?\s{0,5}[:=])[^\n]{1,8192}/gi, `$1 ${REMOVED}`],
  [/((?:token|secret|passw(?:or)?d|passphrase|api[-_ ]?key|authorization|credentials?)[\w-]{0,20}\\{0,3}["']?\s{0,5}[:=]\s{0,5})(?:(\\{0,3}["'])[^"'\\]{1,8192}|[^\s"'\\,;&}\]]{1,8192})/gi, `$1$2${REMOVED}`],
  [/(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{256,}={0,2}/g, '[data]'],
]

/** The same text without secrets that are known by their form, or by the name in front of them. */
export function removeFromText(text: string): string {
  return SECRETS_IN_TEXT.reduce((cleaned, [pattern, replacement]) => cleaned.replace(pattern, replacement), text)
}
