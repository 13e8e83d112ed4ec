/** Files whose first bytes tell what they are; the rest is padding that differs from byte to byte. */

export function fill(head: Uint8Array, length: number): Buffer {
  const bytes = Buffer.alloc(Math.max(length, head.length))
  for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 31 + (at >> 8)) & 0xff
  bytes.set(head)
  return bytes
}

const PNG_HEAD = Buffer.from('89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154', 'hex')

export const makePng = (length: number): Buffer => fill(PNG_HEAD, length)

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1')
const ebml = (docType: string): Buffer => Buffer.concat([Buffer.from('1a45dfa3', 'hex'), Buffer.from([0x80 | (docType.length + 3)]), Buffer.from('4282', 'hex'), Buffer.from([0x80 | docType.length]), ascii(docType)])
const ftyp = (brand: string): Buffer => Buffer.concat([Buffer.from('00000018', 'hex'), ascii(`ftyp${brand}`), Buffer.from('00000000', 'hex'), ascii(`${brand}isom`)])

/** What may be downloaded: the first bytes, the media type, the extension. */
export const MEDIA: readonly (readonly [head: Buffer, mediaType: string, extension: string])[] = [
  [Buffer.from('ffd8ffe000104a46494600010100', 'hex'), 'image/jpeg', 'jpg'],
  [PNG_HEAD, 'image/png', 'png'],
  [ascii('GIF89a'), 'image/gif', 'gif'],
  [ascii('RIFF\x10\x00\x00\x00WEBPVP8 '), 'image/webp', 'webp'],
  [ftyp('avif'), 'image/avif', 'avif'],
  [ftyp('heic'), 'image/heic', 'heic'],
  [ftyp('isom'), 'video/mp4', 'mp4'],
  [ftyp('M4V '), 'video/mp4', 'mp4'],
  [ftyp('qt  '), 'video/quicktime', 'mov'],
  [ebml('webm'), 'video/webm', 'webm'],
  [ebml('matroska'), 'video/matroska', 'mkv'],
  [ascii('ID3\x04\x00\x00\x00\x00\x7f\x7f'), 'audio/mpeg', 'mp3'],
  [ftyp('M4A '), 'audio/mp4', 'm4a'],
  [ascii('RIFF\x10\x00\x00\x00WAVEfmt '), 'audio/wav', 'wav'],
  [ascii('fLaC'), 'audio/flac', 'flac'],
  [Buffer.concat([ascii('OggS'), Buffer.alloc(24), ascii('OpusHead')]), 'audio/ogg', 'ogg'],
]

/** What may not, whatever it calls itself. */
export const NOT_MEDIA: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  text: Buffer.from('A picture, honestly.'),
  HTML: Buffer.from('<!doctype html><html><script>alert(1)</script></html>'),
  'HTML that begins late': Buffer.from(`${' '.repeat(3000)}<html><script>alert(1)</script>`),
  SVG: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
  'SVG as XML': Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'),
  JSON: Buffer.from('{"error":"no such file"}'),
  JavaScript: Buffer.from('alert(1)'),
  PDF: Buffer.from('%PDF-1.7\n'),
  ZIP: Buffer.from('504b0304140000000000', 'hex'),
  gzip: Buffer.from('1f8b0800000000000003', 'hex'),
  'a program': Buffer.from('4d5a90000300000004000000ffff0000', 'hex'),
  'another program': Buffer.from('7f454c4602010100', 'hex'),
  Flash: ascii('FWS\x0a'),
  'a picture that comes too late': Buffer.concat([Buffer.from('<!--'), PNG_HEAD]),
  'a byte of a picture': PNG_HEAD.subarray(0, 1),
}
