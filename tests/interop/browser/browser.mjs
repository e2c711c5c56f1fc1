// A page in a headless Chromium, uploading one file in one of several ways.
//
//     node browser.mjs CHROMIUM PAGE KIND WAY ENDPOINT FILE [PROXY]
//
// PAGE is the page's URL, KIND what it is: `uppy` (examples/web, driven as a person would) or `tus-js`
// (tus-js.html beside this file). PROXY is the log of a proxy that breaks: some ways wait for its line `held`,
// and what was stored before it broke must not be sent again.
// Prints `url URL` when the upload is finished, and ends with 1 if it is not.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { chromium } from 'playwright-core'

const PATIENCE = 45_000
// As proxy.py has it: what is not content.
const HEADS = 16 * 1024

const [executablePath, address, kind, way, endpoint, file, proxy] = process.argv.slice(2)

const kinds = {
  uppy: {
    single: finishUppy,
    // The page may not even ask: nothing is uploaded.
    refused: async (page) => {
      const refusal = page.waitForEvent('console', (message) => message.text().includes('blocked by CORS policy'))
      await chooseInUppy(page)
      await refusal
      return 'none'
    },
    pause: async (page) => {
      await chooseInUppy(page)
      await middle()
      await page.getByRole('button', { name: 'Pause', exact: true }).click()
      await page.getByRole('button', { name: 'Resume', exact: true }).click()
      return finishedInUppy(page)
    },
    reload: async (page) => {
      await chooseInUppy(page)
      await middle()
      await page.reload()
      return finishUppy(page)
    },
  },
  'tus-js': new Proxy(
    {
      reload: async (page) => {
        const first = runTusJs(page, 'begin').catch(() => {})
        await middle()
        await page.reload()
        await first
        return runTusJs(page, 'resume')
      },
    },
    { get: (special, way) => special[way] ?? ((page) => runTusJs(page, way)) },
  ),
}

const browser = await chromium.launch({ executablePath })
try {
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE)
  page.on('console', (message) => console.error(`console: ${message.text()}`))
  page.on('pageerror', (error) => console.error(`page: ${error}`))
  const begun = watchOffsets(page)
  await page.goto(address)
  const url = await kinds[kind][way](page)
  // Of several parts one may have begun in vain.
  if (way !== 'parallel') wentOn(begun)
  console.log(`url ${url}`)
} catch (error) {
  console.error(`${error}`)
  process.exitCode = 1
} finally {
  await browser.close()
}

// Uppy's page, by what a person sees of it.

async function finishUppy(page) {
  await chooseInUppy(page)
  return finishedInUppy(page)
}

async function chooseInUppy(page) {
  await page.locator('input[type=file]').first().setInputFiles(file)
  await page.getByRole('button', { name: 'Upload 1 file' }).click()
}

function finishedInUppy(page) {
  return page.locator('#finished a').getAttribute('href')
}

// The page of tus-js-client.

async function runTusJs(page, way) {
  await page.locator('input').setInputFiles(file)
  return page.evaluate(([way, endpoint]) => run(way, endpoint), [way, endpoint])
}

// The upload is held in its middle: what the server has it keeps, and there is more to come.
async function middle() {
  const deadline = Date.now() + PATIENCE
  while (!broken()) {
    assert.ok(Date.now() < deadline, 'nothing was held')
    await setTimeout(20)
  }
}

// What the server had stored when the proxy broke, at least; nothing if it has not.
function broken() {
  const line = /^(?:cut|held) (\d+)$/m.exec(readFileSync(proxy, 'utf8'))
  return line && Number(line[1]) - HEADS
}

// It is one upload, each request of which begins behind the one before, and the last one where it broke or later.
function wentOn(begun) {
  const told = [...begun].map(([url, offsets]) => `${url} began at ${offsets}`).join('; ')
  assert.ok(begun.size <= 1, told)
  const [offsets = []] = begun.values()
  assert.ok(offsets.every((offset, index) => index === 0 || offset > offsets[index - 1]), told)
  if (proxy) assert.ok(broken() > 0 && offsets.length > 1 && offsets.at(-1) >= broken(), `${told}, not at ${broken()}`)
}

// Where each PATCH of each upload began, in their order: who has asked goes on further behind.
function watchOffsets(page) {
  const begun = new Map()
  page.on('request', (request) => {
    if (request.method() !== 'PATCH') return
    const offsets = begun.get(request.url()) ?? []
    begun.set(request.url(), [...offsets, Number(request.headers()['upload-offset'])])
  })
  return begun
}
