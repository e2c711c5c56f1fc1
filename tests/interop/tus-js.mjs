// tus-js-client, uploading one file in one of several ways.
//
//     node tus-js.mjs WAY ENDPOINT FILE [STATE]
//
// Prints `url URL` when the upload is finished, and ends with 1 if it is not.
// STATE is the file in which `begin` leaves the upload's URL for `resume`.

import assert from 'node:assert/strict'
import { createReadStream, readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import * as tus from 'tus-js-client'

const MIB = 1024 * 1024
const METADATA = {
  filename: 'Übergrößenträger – 上传 📦.bin',
  filetype: 'application/octet-stream',
  empty: '',
}

const [way, endpoint, file, state] = process.argv.slice(2)

const ways = {
  single: () => upload(readFileSync(file)),
  chunks: () => upload(createReadStream(file), { chunkSize: MIB }),
  creation: () => upload(readFileSync(file), { chunkSize: 3 * MIB, uploadDataDuringCreation: true }),
  override: () => upload(readFileSync(file), { chunkSize: 3 * MIB, overridePatchMethod: true }),
  parallel: () => upload(createReadStream(file), { parallelUploads: 3, metadata: METADATA }),
  // A pipe: neither its length nor an earlier byte of it can be had.
  deferred: () =>
    upload(createReadStream(file).pipe(new PassThrough()), { chunkSize: MIB, uploadLengthDeferred: true }),
  metadata: async () => {
    const url = await upload(readFileSync(file), { metadata: METADATA })
    const head = await inspect(url)
    const pairs = head.headers.get('upload-metadata').split(',').map((pair) => pair.split(' '))
    const values = pairs.map(([key, value]) => [key, Buffer.from(value ?? '', 'base64').toString()])
    assert.deepEqual(Object.fromEntries(values), METADATA)
    return url
  },
  terminate: async () => {
    const url = await interrupted({}, (upload) => upload.abort(true))
    assert.ok([404, 410].includes((await inspect(url)).status), 'a terminated upload is still there')
    return url
  },
  begin: () => interrupted(remembered(), (upload) => upload.abort()),
  resume: () => upload(createReadStream(file), remembered()),
}

try {
  console.log(`url ${await ways[way]()}`)
} catch (error) {
  console.error(`${error}`)
  process.exit(1)
}

// Uploads until the end, through any number of interruptions; the URL.
function upload(source, options = {}) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(source, {
      endpoint,
      retryDelays: [0, 200, 400, 800, ...Array(20).fill(1000)],
      ...options,
      onSuccess: () => resolve(upload.url),
      onError: reject,
    })
    start(upload).catch(reject)
  })
}

// Uploads two chunks and then ends it by `stop`; the URL.
function interrupted(options, stop) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(createReadStream(file), {
      endpoint,
      chunkSize: MIB,
      ...options,
      onError: reject,
      onSuccess: () => reject(new Error('finished before it was stopped')),
      onChunkComplete: (_, offset) => {
        if (offset >= 2 * MIB) Promise.resolve(stop(upload)).then(() => resolve(upload.url), reject)
      },
    })
    start(upload).catch(reject)
  })
}

async function start(upload) {
  if (way === 'resume') {
    const [previous] = await upload.findPreviousUploads()
    assert.ok(previous, 'no earlier upload is remembered')
    const offset = Number((await inspect(previous.uploadUrl)).headers.get('upload-offset'))
    assert.ok(offset >= 2 * MIB, `only ${offset} bytes are left of the earlier upload`)
    upload.resumeFromPreviousUpload(previous)
  }
  upload.start()
}

function remembered() {
  return { chunkSize: MIB, urlStorage: new tus.FileUrlStorage(state) }
}

function inspect(url) {
  return fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
}
