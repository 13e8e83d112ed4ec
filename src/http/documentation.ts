/** The API's document for programs, and the same as a page for people. Every file of the page is our own. */
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { brotliCompress, constants } from 'node:zlib'
import Router from '@koa/router'
import type { Context } from 'koa'
import { AppError } from '../errors.ts'
import { answerTagged, toETag } from './etag.ts'
import { createDocument, type DocumentOptions } from './openapi/document.ts'

/** What the page is made of. Swagger UI comes from its package. */
const FILES: Record<string, { from: URL; type: string }> = {
  'swagger-ui.css': { from: new URL(import.meta.resolve('swagger-ui-dist/swagger-ui.css')), type: 'text/css' },
  'swagger-ui-bundle.js': { from: new URL(import.meta.resolve('swagger-ui-dist/swagger-ui-bundle.js')), type: 'text/javascript' },
  'favicon-32x32.png': { from: new URL(import.meta.resolve('swagger-ui-dist/favicon-32x32.png')), type: 'image/png' },
  'start.js': { from: new URL('docs/start.js', import.meta.url), type: 'text/javascript' },
  'look.css': { from: new URL('docs/look.css', import.meta.url), type: 'text/css' },
}
const PAGE = new URL('docs/page.html', import.meta.url)

/** For what is asked for by an address with its tag: another version has another address. */
const FOR_EVER = 'public, max-age=31536000, immutable'
const ASK_AGAIN = 'public, no-cache'

export function documentationRoutes(options: DocumentOptions): Router {
  const router = new Router({ sensitive: true })
  const policy = toPolicy(options.publicUrl)
  const document = once(async () => toVariants(JSON.stringify(createDocument(options)), 'application/json'))
  const files = new Map(Object.entries(FILES).map(([name, { from, type }]) => [name, once(async () => toVariants(await readFile(from), type))]))
  const page = once(async () => toVariants(await withTags(await readFile(PAGE, 'utf8')), 'text/html'))

  async function withTags(html: string): Promise<string> {
    const tags = new Map(await Promise.all([...files].map(async ([name, read]) => [name, (await read()).tag] as const)))
    return html.replace(/(?<=")docs\/([\w.-]+)/g, (address, name: string) => `${address}?${tags.get(name)}`)
  }

  router.get('/openapi.json', async (ctx) => answer(ctx, await document(), ASK_AGAIN))

  router.get('/docs', async (ctx) => {
    // Its files are named relative to it: the service may be reached below a path.
    if (ctx.path.endsWith('/')) return ctx.redirect('../docs')
    ctx.set('Content-Security-Policy', policy)
    answer(ctx, await page(), ASK_AGAIN)
  })

  router.get('/docs/:file', async (ctx) => {
    const file = await files.get(ctx.params.file as string)?.()
    if (!file) throw new AppError('not_found', 'There is no such file.')
    answer(ctx, file, ctx.querystring === file.tag ? FOR_EVER : ASK_AGAIN)
  })
  return router
}

interface Variants {
  type: string
  /** Stands for the content in addresses. */
  tag: string
  plain: { body: Buffer; etag: string }
  /** The same in a third of the bytes or less. */
  brotli: { body: Buffer; etag: string }
}

/** Good enough: the best would take seconds for the last tenth. */
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }

async function toVariants(content: string | Buffer, type: string): Promise<Variants> {
  const body = Buffer.from(content)
  const plain = { body, etag: toETag(body) }
  return { type, tag: plain.etag.slice(1, 9), plain, brotli: { body: await promisify(brotliCompress)(body, BROTLI), etag: plain.etag.replace(/"$/, '-br"') } }
}

function answer(ctx: Context, { type, plain, brotli }: Variants, cacheControl: string): void {
  ctx.vary('Accept-Encoding')
  const isCompressed = ctx.acceptsEncodings('br', 'identity') === 'br'
  if (isCompressed) ctx.set('Content-Encoding', 'br')
  answerTagged(ctx, { ...(isCompressed ? brotli : plain), type, cacheControl })
}

/**
 * Scripts are our own files alone. Swagger UI writes style attributes, and draws its arrows from data addresses; the page
 * asks this service for the document, and where the document says that the service is.
 */
function toPolicy(publicUrl: string | undefined): string {
  const connections = ["'self'", ...(publicUrl === undefined ? [] : [new URL(publicUrl).origin])].join(' ')
  return `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src ${connections}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
}

/** Made when it is first asked for, and then kept. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () =>
    (made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    }))
}
