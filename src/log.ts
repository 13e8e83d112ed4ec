import { pino, type DestinationStream, type Logger } from 'pino'

export type { Logger }

/** JSON lines on standard output. Whatever is logged passes `toLoggedError`, so no error carries a body or a key along. */
export function createLogger(options: { level: string; destination?: DestinationStream }): Logger {
  const settings = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: toLoggedError },
  }
  return options.destination ? pino(settings, options.destination) : pino(settings)
}

/** Fields of an error that help and are never secret; the rest (bodies, prompts, headers, urls) stays out of the log. */
const SAFE_FIELDS = ['code', 'status', 'statusCode', 'provider', 'charged', 'providerRequestId', 'type', 'param', 'syscall', 'constraint', 'table'] as const

const MAX_CAUSES = 5

/**
 * pino's own serializer copies every property of an error: the SDKs' hold prompts, base64 inputs and request bodies.
 */
export function toLoggedError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return typeof error === 'object' && error !== null ? pick(error) : String(error)
  return {
    name: error.name === 'Error' ? error.constructor.name : error.name,
    message: redact(error.message),
    ...pick(error),
    ...(depth === 0 && { stack: redact(error.stack ?? '') }),
    ...(error.cause !== undefined && depth < MAX_CAUSES && { cause: toLoggedError(error.cause, depth + 1) }),
  }
}

function pick(error: object): Record<string, unknown> {
  const entries = SAFE_FIELDS.filter((field) => field in error).map((field) => [field, error[field as keyof typeof error] as unknown] as const)
  return Object.fromEntries(entries.filter(([, value]) => ['string', 'number'].includes(typeof value)))
}

/** Longer texts are cut before they are searched: no error needs more, and the search must stay cheap. */
const MAX_TEXT = 8000

/**
 * Secrets that libraries put into messages: Supabase keys, API keys, tokens, bearer headers, passwords in URLs, signatures in
 * query strings, and base64 payloads.
 */
export function redact(text: string): string {
  return text
    .slice(0, MAX_TEXT)
    .replace(/\bsb_(secret|publishable)_[\w-]+/g, 'sb_$1_[redacted]')
    .replace(/\bdrk_([0-9A-Za-z]{16})_[0-9A-Za-z]+/g, 'drk_$1_[redacted]')
    .replace(/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g, '[token]')
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, '$1 [redacted]')
    .replace(/(\w+:\/\/[^\s:/@]*):[^\s@/]+@/g, '$1:[redacted]@')
    .replace(/(https?:\/\/[^\s?#"']+)\?[^\s"']*/g, '$1?[redacted]')
    .replace(/\b[A-Za-z0-9+/]{200,}={0,2}/g, '[data]')
}
