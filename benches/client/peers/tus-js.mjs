// tus-js-client with its defaults: ENDPOINT FILE

import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { Upload } from 'tus-js-client'

const [endpoint, file] = process.argv.slice(1)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

function upload(source) {
  return new Promise((onSuccess, onError) => new Upload(source, { endpoint, onSuccess, onError }).start())
}

await upload(Buffer.alloc(1024))
console.log('ready')
await lines.next()
await upload(createReadStream(file))
console.log('done')
await lines.next()
