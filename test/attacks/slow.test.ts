/** Clients that take their time, hold on to things, or hang up: they wait for themselves alone. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { assertTold, bearer, dryRun, startStage, type Stage } from '../support/attacks.ts'
import { eventually, startTestService } from '../support/service.ts'
import { exchange, parseAnswers, toBytes, type WireAnswer } from '../support/wire.ts'

const CROWD = 200

let stage: Stage
/** The attacker's own, which goes on for ever. */
let ownVideo: string
let picture: Buffer
const sockets: Socket[] = []
/** A form that stopped at the very beginning: its silence is longer than all that follows. */
let stopped: Promise<WireAnswer[]>
before(async () => {
  picture = await sharp({ create: { width: 256, height: 256, channels: 3, background: '#3060a0' } }).jpeg().toBuffer()
  stage = await startStage({ env: { REQUEST_TIMEOUT_SECONDS: '3', MAX_JSON_BYTES: '1024', MAX_UPLOADS: '4', UPLOAD_IDLE_SECONDS: '4', MAX_EVENT_STREAMS: '2', HEARTBEAT_SECONDS: '1' } }, async (service, _victim, attacker) => {
    const started = await service.generateVideo(attacker, { prompt: 'A film without end' }, { prefer: 'respond-async' })
    ownVideo = ((await started.json()) as { id: string }).id
    await eventually(async () => service.simulator.videos.created() === 2, 'it is begun')
    await eventually(async () => ((await (await service.request(`/api/generations/${ownVideo}`, { user: attacker })).json()) as { status: string }).status === 'running', 'it runs')
  })
  stopped = stage.sendBytes(`${formHead('/api/videos/generate')}--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA`)
})
after(() => stage.close())

/** A connection that says so much and no more, and stays. */
async function open(text: string | Uint8Array = ''): Promise<Socket> {
  const socket = connect(Number(new URL(stage.service.url).port), 'localhost')
  sockets.push(socket.on('error', () => undefined))
  await once(socket, 'connect')
  if (text.length > 0) socket.write(text)
  return socket
}
const crowd = (text: string | Uint8Array) => Promise.all(Array.from({ length: CROWD }, () => open(text)))
const closed = async (socket: Socket) => void (socket.closed || (await once(socket.resume(), 'close')))
async function leave(): Promise<void> {
  for (const socket of sockets) socket.destroy()
  await Promise.all(sockets.splice(0).map(closed))
}
/** Whoever is honest is served, the attacker's other requests too. */
async function assertServed(): Promise<void> {
  const answers = await Promise.all([stage.victim, stage.attacker, stage.victim].flatMap(({ token }) => [stage.send(dryRun(token)), stage.send({ target: '/api/usage', headers: [bearer(token)] }), stage.send({ target: '/health/live' })]))
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
}

const head = (target: string, length: number, more = '') => `POST ${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${stage.attacker.token}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n${more}\r\n`
const formHead = (target: string) => `POST ${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${stage.attacker.token}\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n`
const fileStart = () => `${formHead('/api/images/edit?dryRun=true')}--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\nxx`

const HALVES: Record<string, () => string> = {
  'nothing at all': () => '',
  'a letter': () => 'G',
  'half a line': () => 'GET /api/usage HT',
  'half the headers': () => 'GET /api/usage HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n',
  'half a token': () => `GET /api/usage HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${stage.attacker.token.slice(0, 40)}`,
  'headers and no body': () => head('/api/images/generate', 100),
  'half a body': () => `${head('/api/images/generate', 100)}{"prompt":`,
  'half a chunk': () => `POST /api/images/generate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${stage.attacker.token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"pr`,
  'half a form': () => `${formHead('/api/images/edit')}--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA`,
  'half a file': fileStart,
  'a promise to go on': () => head('/api/images/generate', 100, 'Expect: 100-continue\r\n'),
  'an answer that nobody reads': () => `GET /api/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${stage.attacker.token}\r\n\r\n`.repeat(2),
}

describe(`${CROWD} connections that stop after`, () => {
  for (const [what, text] of Object.entries(HALVES)) {
    test(`${what} hold nobody up`, async () => {
      await crowd(text())
      await assertServed()
      await leave()
    })
    test(`${what} and hang up hurt nobody`, async () => {
      const gone = await Promise.all(Array.from({ length: 20 }, () => open(text())))
      for (const [index, socket] of gone.entries()) void (index % 2 === 0 ? socket.resetAndDestroy() : socket.end())
      await assertServed()
      await leave()
    })
  }
})

describe('a body that stops is given up, and its connection closed:', { concurrency: 16 }, () => {
  const rest: Record<string, () => string> = {
    'none of it': () => head('/api/keys', 100),
    'half of it': () => `${head('/api/keys', 100)}{"name":`,
    'all but a byte': () => `${head('/api/keys', 13)}{"name":"key"`.slice(0, -1),
    'of a rotation': () => `${head(`/api/keys/${stage.key.id}/rotate`, 100)}{"overlap`,
    'of a test': () => `${head('/api/images/test', 100)}{"prompt"`,
    'of a form for a token': () => 'POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type=',
    'of a callback': () => `POST /api/callbacks/${stage.victim.videoId}/0/${'A'.repeat(32)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"id"`,
    'in chunks': () => `POST /api/keys HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${stage.attacker.token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"name":\r\n`,
    'of gzip': () => head('/api/keys', 100, 'Content-Encoding: gzip\r\n'),
    'that was waited for': () => head('/api/keys', 100, 'Expect: 100-continue\r\n'),
  }
  for (const [what, text] of Object.entries(rest)) {
    test(what, async () => {
      const [answer, ...others] = await stage.sendBytes(text())
      assertTold(answer!, 408, 'request_incomplete')
      assert.deepEqual([others.length, answer!.headers.connection], [0, 'close'])
    })
  }
})

describe('a request that comes byte by byte', { concurrency: 8 }, () => {
  const bytewise = async (bytes: Buffer, size = 1) => {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))
    return parseAnswers(await exchange(stage.service.url, pieces))
  }
  test('is let in', async () => assertTold((await bytewise(toBytes(dryRun(stage.attacker.token))))[0]!, 200))
  test('is refused where it is too long', async () => assertTold((await bytewise(toBytes(dryRun(stage.attacker.token, { body: `{"prompt":"${'a'.repeat(2000)}"}` }))))[0]!, 413, 'payload_too_large'))
  test('in chunks of a byte is refused where it is too long', async () => {
    const chunks = '1\r\na\r\n'.repeat(3000)
    const answers = await stage.sendBytes(`POST /api/images/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer ${stage.attacker.token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`)
    assertTold(answers[0]!, 413, 'payload_too_large')
  })
  test('as a form is let in', async () => {
    const body = Buffer.concat([Buffer.from('--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA cat\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nseedream-4-0-250828\r\n--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'), picture, Buffer.from('\r\n--x--\r\n')])
    assertTold((await bytewise(toBytes({ method: 'POST', target: '/api/images/edit?dryRun=true', headers: [bearer(stage.attacker.token), ['Content-Type', 'multipart/form-data; boundary=x']], body }), 3))[0]!, 200)
  })
})

describe('places that one user holds', () => {
  const form = (token: string) => ({ method: 'POST', target: '/api/images/edit?dryRun=true', headers: [bearer(token), ['Content-Type', 'multipart/form-data; boundary=x']] as const, body: Buffer.concat([Buffer.from('--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA cat\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nseedream-4-0-250828\r\n--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'), picture, Buffer.from('\r\n--x--\r\n')]) })

  test('for files are half of them: another’s picture is taken meanwhile', async () => {
    await Promise.all(Array.from({ length: 20 }, () => open(fileStart())))
    await eventually(async () => (await stage.send(form(stage.attacker.token))).status === 429, 'the places are held')
    assertTold(await stage.send(form(stage.victim.token)), 200)
    await leave()
    await eventually(async () => (await stage.send(form(stage.attacker.token))).status === 200, 'the places are free again')
  })

  test('for events are a few: another’s are told meanwhile', async () => {
    const follow = async (token: string, id: string) => {
      const socket = await open(toBytes({ target: `/api/generations/${id}/events`, headers: [bearer(token)] }))
      const [first] = (await once(socket, 'data')) as [Buffer]
      return Number(first.toString().slice(9, 12))
    }
    assert.deepEqual([await follow(stage.attacker.token, ownVideo), await follow(stage.attacker.token, ownVideo), await follow(stage.attacker.token, ownVideo)], [200, 200, 429])
    assert.equal(await follow(stage.victim.token, stage.victim.videoId), 200)
    await leave()
    for (let count = 0; count < 5; count++) {
      await eventually(async () => (await stage.send({ method: 'HEAD', target: `/api/generations/${ownVideo}/events`, headers: [bearer(stage.attacker.token)] })).status === 200, 'a place is free again')
    }
    // It was the victim who asked.
    await eventually(async () => stage.service.log.some(({ route, userId }) => route === '/api/generations/:id/events' && userId === stage.victim.id), 'it is logged')
  })
})

test('a form that stops is given up, and its connection closed', async () => {
  const [answer] = await stopped
  assertTold(answer!, 408, 'request_incomplete')
  assert.equal(answer!.headers.connection, 'close')
})

test('nobody came to harm', async () => {
  const { log } = stage.service
  // The victim's own requests may name the victim.
  log.splice(0, log.length, ...log.filter(({ userId }) => userId !== stage.victim.id))
  await stage.assertUnharmed()
})

test('a request that has not arrived as a whole when its time is over is given up, on routes that wait for minutes too', async (t) => {
  const service = await startTestService({ env: { RECEIVE_TIMEOUT_SECONDS: '1' } })
  t.after(() => service.close())
  for (const half of ['GET /api/usage HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n', `${head('/api/images/generate', 100)}{"prompt":`, `${head('/api/videos/generate', 100)}{"prompt":`]) {
    const [answer] = parseAnswers(await exchange(service.url, [Buffer.from(half)]))
    assertTold(answer!, 408, 'request_incomplete')
  }
  assert.equal(service.simulator.requests.length, 0)
})
