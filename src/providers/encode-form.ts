/**
 * A form as bytes and the header that tells its boundary. A fetch knows only the forms of its own undici, and sends
 * another's as the text `[object FormData]`; bytes go through every one.
 */
export async function encodeForm(form: FormData): Promise<EncodedForm> {
  const encoded = new Response(form)
  return { headers: { 'content-type': encoded.headers.get('content-type')! }, body: new Uint8Array(await encoded.arrayBuffer()) }
}

export interface EncodedForm {
  headers: { 'content-type': string }
  body: Uint8Array<ArrayBuffer>
}
