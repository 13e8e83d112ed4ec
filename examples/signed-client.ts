/**
 * A client that signs each request, so that its API key never travels. Node 24 runs it as it stands; it needs no package.
 *
 *   export DARKROOM_URL=https://api.example.com DARKROOM_KEY=drk_…
 *   node examples/signed-client.ts 'A lighthouse in a storm'             what it would cost
 *   node examples/signed-client.ts 'Make it night' harbour.jpg           the same for a change of a picture
 */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'

export interface SignedClient {
  /** @param target path and query as they go over the wire, such as `/api/generations?limit=5`. */
  get(target: string): Promise<Response>
  postJson(target: string, body: object, headers?: Record<string, string>): Promise<Response>
  postForm(target: string, form: FormData, headers?: Record<string, string>): Promise<Response>
}

export function createSignedClient({ url, key }: { url: string; key: string }): SignedClient {
  const keyId = key.split('_')[1]
  // This alone signs: whoever keeps it instead of the key can sign, and do nothing else.
  const signingKey = createHmac('sha256', key).update('darkroom-signing-v1').digest()

  async function send(method: string, target: string, headers: Record<string, string> = {}, body: Uint8Array<ArrayBuffer> = new Uint8Array()): Promise<Response> {
    const timestamp = Math.floor(Date.now() / 1000)
    const nonce = randomBytes(16).toString('hex')
    const contentHash = createHash('sha256').update(body).digest('hex')
    const lines = ['DARKROOM-HMAC-SHA256', timestamp, nonce, method, target, headers['Content-Type'] ?? '', headers['Idempotency-Key'] ?? '', contentHash]
    const signature = createHmac('sha256', signingKey).update(lines.join('\n')).digest('hex')
    return await fetch(url + target, {
      method,
      headers: {
        ...headers,
        Authorization: `Darkroom-HMAC-SHA256 KeyId=${keyId}, Signature=${signature}`,
        'X-Darkroom-Timestamp': String(timestamp),
        'X-Darkroom-Nonce': nonce,
        'X-Darkroom-Content-SHA256': contentHash,
      },
      ...(body.length > 0 && { body }),
    })
  }

  return {
    get: (target) => send('GET', target),
    postJson: (target, body, headers) => send('POST', target, { ...headers, 'Content-Type': 'application/json' }, new TextEncoder().encode(JSON.stringify(body))),
    async postForm(target, form, headers) {
      // The bytes must be there before they are signed, and their boundary stands in the content type.
      const encoded = new Response(form)
      return await send('POST', target, { ...headers, 'Content-Type': encoded.headers.get('content-type')! }, new Uint8Array(await encoded.arrayBuffer()))
    },
  }
}

async function main([prompt = 'A lighthouse in a storm', picture]: string[]): Promise<void> {
  const { DARKROOM_URL: url = 'http://localhost:3001', DARKROOM_KEY: key } = process.env
  if (!key) throw new Error('Set DARKROOM_KEY to an API key.')
  const client = createSignedClient({ url, key })
  // `dryRun` tells what would run and for how much, and does nothing.
  let response: Response
  if (picture === undefined) {
    response = await client.postJson('/api/images/generate?dryRun=true', { prompt })
  } else {
    const form = new FormData()
    form.set('prompt', prompt)
    form.set('image', new Blob([await readFile(picture)]), 'picture')
    response = await client.postForm('/api/images/edit?dryRun=true', form)
  }
  console.log(await response.text())
  if (!response.ok) process.exitCode = 1
}

if (import.meta.main) await main(process.argv.slice(2))
