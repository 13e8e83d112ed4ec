/** What gateways say when they mean no: OpenAI's, OpenRouter's and one-api's errors, in each envelope. */
export interface GatewayRefusal {
  status: number
  body: unknown
  headers?: Record<string, string>
}

const openAI = (status: number, code: string | null, type = 'invalid_request_error'): GatewayRefusal => ({ status, body: { error: { message: 'vendor words', type, param: null, code } } })
/** With the details that come with it where they are known. */
const moderated = (stage: string): GatewayRefusal => ({ status: 400, body: { error: { message: 'vendor words', type: 'image_generation_user_error', param: null, code: 'moderation_blocked', moderation_details: { moderation_stage: stage, categories: ['violence'] } } } })
/** Its `code` is the HTTP number. */
const openRouter = (status: number, metadata: object = {}, headers: Record<string, string> = {}): GatewayRefusal => ({ status, body: { error: { code: status, message: 'vendor words', metadata } }, headers })
const oneApi = (status: number, code: string | null, type = 'one_api_error'): GatewayRefusal => openAI(status, code, type)

export const GATEWAY_REFUSALS = {
  auth: openAI(401, 'invalid_api_key'),
  'not-found': openAI(404, 'model_not_found'),
  'bad-request': openAI(400, 'invalid_value'),
  unprocessable: openAI(422, null),
  moderation: moderated('input'),
  'moderation-output': moderated('output'),
  'moderation-unknown': moderated('unknown'),
  'moderation-untold': openAI(400, 'moderation_blocked', 'image_generation_user_error'),
  'moderation-old': openAI(400, 'content_policy_violation'),
  'moderation-text': { status: 400, body: { error: { message: 'Your request was rejected by our safety system.', type: 'upstream_error', code: null } } },
  'rate-limit': { ...openAI(429, 'rate_limit_exceeded', 'requests'), headers: { 'retry-after': '7' } },
  quota: openAI(429, 'insufficient_quota'),
  'server-error': openAI(500, 'server_error', 'server_error'),
  overloaded: openAI(503, null, 'server_error'),

  'openrouter-400': openRouter(400),
  'openrouter-bad-model': { status: 400, body: { error: { code: 400, message: 'x/y is not a valid model ID' } } },
  'openrouter-401': openRouter(401),
  'openrouter-402': openRouter(402),
  'openrouter-402-passing': openRouter(402, { limit_source: 'openrouter_in_flight_budget' }, { 'retry-after': '3' }),
  'openrouter-403': openRouter(403),
  'openrouter-403-moderation': openRouter(403, { reasons: ['violence'], flagged_input: 'A cat', provider_name: 'x', model_slug: 'y' }),
  'openrouter-404': openRouter(404),
  'openrouter-408': openRouter(408),
  'openrouter-413': openRouter(413),
  'openrouter-429': openRouter(429, {}, { 'retry-after': '4' }),
  'openrouter-502': openRouter(502),
  'openrouter-503': openRouter(503),
  'openrouter-524': openRouter(524),
  'openrouter-529': openRouter(529),

  'one-api-401': oneApi(401, null),
  'one-api-quota': oneApi(403, 'insufficient_user_quota'),
  'one-api-403': oneApi(403, null),
  'one-api-404': oneApi(404, null),
  'one-api-429': oneApi(429, null),
  'one-api-no-channel': oneApi(503, null),
  'one-api-upstream-400': oneApi(400, null, 'upstream_error'),
  'one-api-upstream-500': oneApi(500, null, 'upstream_error'),
  'one-api-upstream-502': oneApi(502, null, 'upstream_error'),
  'one-api-upstream-503': oneApi(503, null, 'upstream_error'),
  'one-api-lost-behind': oneApi(500, 'do_request_failed'),
  // The vendor behind it answered with what it could not read.
  'one-api-unread-400': oneApi(400, 'bad_response_status_code', 'upstream_error'),
  'one-api-unread-500': oneApi(500, 'bad_response_status_code', 'upstream_error'),

  'envelope-string': { status: 429, body: { error: 'slow down' } },
  'envelope-flat': { status: 403, body: { code: 'insufficient_user_quota', message: 'vendor words', data: null } },
  'envelope-detail': { status: 500, body: { detail: 'vendor words' } },
  'envelope-detail-list': { status: 422, body: { detail: [{ loc: ['body', 'size'], msg: 'vendor words' }] } },

  'proxy-error': { status: 502, body: '<html><h1>502 Bad Gateway</h1></html>' },
  'proxy-unavailable': { status: 503, body: '<html>unavailable</html>' },
  'proxy-conflict': { status: 409, body: '<html>conflict</html>' },
  'edge-error': { status: 520, body: { type: 'https://developers.cloudflare.com/support/', title: 'Error 520', status: 520, detail: 'The origin web server returned an unexpected response.' } },
  'edge-timeout': { status: 524, body: '<html>a timeout occurred</html>' },
  redirect: { status: 307, body: '', headers: { location: 'https://elsewhere.example/v1' } },
  'see-other': { status: 303, body: '', headers: { location: 'https://elsewhere.example/v1/images/1' } },
  html: { status: 200, body: '<html>maintenance</html>' },
  // A 200 that means no.
  'inner-quota': { status: 200, body: { error: { message: 'vendor words', code: 'insufficient_user_quota' } } },
  'inner-refusal': { status: 200, body: { error: { code: 403, message: 'vendor words', metadata: { error_type: 'content_policy_violation' } } } },
  'inner-invalid': { status: 200, body: { error: { code: 400, message: 'vendor words', metadata: { error_type: 'invalid_request' } } } },
  'inner-overloaded': { status: 200, body: { error: { code: 529, message: 'vendor words', metadata: { error_type: 'provider_overloaded' } } } },
  'inner-server': { status: 200, body: { error: { code: 500, message: 'vendor words', metadata: { error_type: 'server' } } } },
  'inner-string': { status: 200, body: { error: 'vendor words' } },
} as const satisfies Record<string, GatewayRefusal>

export type GatewayRefusalWord = keyof typeof GATEWAY_REFUSALS

/** OpenRouter's finer names, which stand in `metadata`. */
export const toErrorType = (status: number, type: string): GatewayRefusal => openRouter(status, { error_type: type })
