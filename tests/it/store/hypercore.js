// Reads a core that bzzz wrote with npm's hypercore 10, and copies it to a new core through
// Hypercore's own replication, which verifies every hash and signature on the way.
//
//   node hypercore.js MODULES CORE
//
// Prints one line of JSON: the length, the key, and the blocks in base64 (null for a cleared one).
const path = require('path')
const fs = require('fs')
const [modules, folder] = process.argv.slice(2)
const Hypercore = require(path.join(modules, 'hypercore'))

async function main () {
  const core = new Hypercore(folder, { createIfMissing: false })
  await core.ready()
  const blocks = []
  for (let i = 0; i < core.length; i++) {
    const has = await core.has(i)
    blocks.push(has ? (await core.get(i, { wait: false })).toString('base64') : null)
  }
  const copy = new Hypercore(folder + '-copy', core.key)
  await copy.ready()
  const from = core.replicate(true)
  const to = copy.replicate(false)
  from.pipe(to).pipe(from)
  await copy.update({ wait: true })
  let copied = 0
  for (let i = 0; i < core.length; i++) {
    if (blocks[i] === null) continue
    const block = await copy.get(i, { timeout: 20000 })
    if (block.toString('base64') !== blocks[i]) throw new Error('block ' + i + ' differs')
    copied++
  }
  const version = JSON.parse(fs.readFileSync(
    path.join(modules, 'hypercore', 'package.json'))).version
  const { length, byteLength, contiguousLength } = core
  const said = JSON.stringify({
    version, length, byteLength, contiguousLength, copied, copyLength: copy.length, blocks
  })
  // A pipe takes it in parts: the program ends when all of it is written.
  process.stdout.write(said + '\n', () => process.exit(0))
}

main().catch((error) => { console.error(error); process.exit(1) })
