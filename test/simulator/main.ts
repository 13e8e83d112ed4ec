/** `npm run simulator`: the simulated ModelArk by hand, and for a parent process that asks it for its counts. */
import { startModelArkSimulator } from './modelark.ts'
import { FILE, LIST, TASK, UNMADE, UNTOLD } from './modelark-video-words.ts'

const number = (name: string, fallback: number): number => Number(process.env[name] ?? fallback)

const simulator = await startModelArkSimulator({
  port: number('SIMULATOR_PORT', 4010),
  latencyMs: number('SIMULATOR_LATENCY_MS', 1500),
  minBytes: number('SIMULATOR_MIN_BYTES', 0),
  queuedMs: number('SIMULATOR_QUEUED_MS', 2000),
  runningMs: number('SIMULATOR_RUNNING_MS', 8000),
  minVideoBytes: number('SIMULATOR_MIN_VIDEO_BYTES', 0),
})

const line = (title: string, words: readonly string[]) => `  ${title}: ${words.join(', ')}\n`

process.stdout.write(`A simulated ModelArk is listening. Start the service with

  ARK_BASE_URL=${simulator.baseURL} ARK_API_KEY=${simulator.apiKey} npm run dev

A word in the prompt makes it misbehave: "A cat sim:hang". Words: rate-limit, server-error, cut, drop, hang, html,
moderation, auth, quota, b64, file-html, file-huge, file-redirect-inward, file-expired, file-truncated and others.

Videos take several words at once, such as "A cat sim:accept-drop sim:file-cut-once":
${line('no task is made', UNMADE)}${line('a task is made, but its id is lost', UNTOLD)}${line('so too, and the list call stumbles', LIST)}${line('the task', TASK)}${line('its file', FILE)}
SIMULATOR_QUEUED_MS and SIMULATOR_RUNNING_MS say how long a video takes, SIMULATOR_MIN_VIDEO_BYTES how large it is.
`)
process.send?.({ type: 'ready', baseURL: simulator.baseURL, apiKey: simulator.apiKey })
process.on('message', (message: { type?: string } | null) => {
  if (message?.type === 'stats') process.send?.({ type: 'stats', ...simulator.videos.stats() })
})
process.on('disconnect', () => process.exit(0))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void simulator.close().then(() => process.exit(0)))
