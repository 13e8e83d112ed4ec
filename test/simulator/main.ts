/** `npm run simulator`: the simulated ModelArk by hand. */
import { startModelArkSimulator } from './modelark.ts'

const number = (name: string, fallback: number): number => Number(process.env[name] ?? fallback)

const simulator = await startModelArkSimulator({
  port: number('SIMULATOR_PORT', 4010),
  latencyMs: number('SIMULATOR_LATENCY_MS', 1500),
  minBytes: number('SIMULATOR_MIN_BYTES', 0),
})
process.stdout.write(`A simulated ModelArk is listening. Start the service with

  ARK_BASE_URL=${simulator.baseURL} ARK_API_KEY=${simulator.apiKey} npm run dev

A word in the prompt makes it misbehave: "A cat sim:hang". Words: rate-limit, server-error, cut, drop, hang, html,
moderation, auth, quota, b64, file-html, file-huge, file-redirect-inward, file-expired, file-truncated and others.
`)
process.send?.({ type: 'ready', baseURL: simulator.baseURL, apiKey: simulator.apiKey })
process.on('disconnect', () => process.exit(0))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void simulator.close().then(() => process.exit(0)))
