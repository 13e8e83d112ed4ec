/** Node's own fetch gives up after 300 silent seconds, whatever the caller's limit is: some models think for longer. */
import { Agent, fetch as undiciFetch } from 'undici'

// Their caller's signal ends them. Idle sockets do not hold the process.
const patient = new Agent({ headersTimeout: 0, bodyTimeout: 0 })

/** fetch without limits of its own, for calls that carry a signal. It takes no global FormData or Blob as a body. */
export const longFetch = ((input: string | URL, init?: object) => undiciFetch(input, { ...init, dispatcher: patient })) as unknown as typeof fetch
