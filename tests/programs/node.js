// SPDX-License-Identifier: MIT
// Work for node on the drop-in: JSON, Map, Buffer (whose memory comes from malloc), zlib, hashes,
// child isolates in worker threads that get buffers transferred and send others back. The output
// depends neither on timing nor on addresses.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');
const { promisify } = require('util');

const [deflate, inflate, pbkdf2] = [zlib.deflate, zlib.inflate, crypto.pbkdf2].map(promisify);

const digest = (data) => crypto.createHash('sha256').update(data).digest('hex').slice(0, 16);

function generator(seed) {
    let state = seed >>> 0;
    return (n) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return (state >>> 8) % n;
    };
}

// Buffers of many sizes, kept and dropped at random, filled, compared and copied.
function buffers(random, count) {
    const kept = new Map();
    let sum = 0;
    for (let i = 0; i < count; i++) {
        const slot = random(400);
        const old = kept.get(slot);
        if (old) sum = (sum + old.readUInt8(old.length >> 1) + old.length) >>> 0;
        const size = 1 + (i % 50 === 0 ? random(300000) : random(12000));
        const buffer = Buffer.allocUnsafeSlow(size).fill(i & 255);
        kept.set(slot, random(3) ? buffer : Buffer.concat([buffer, Buffer.from(`tail ${i}`)]));
    }
    return sum;
}

if (!isMainThread) {
    const random = generator(workerData);
    parentPort.on('message', (message) => {
        if (message === null) {
            parentPort.close();
            return;
        }
        const input = Buffer.from(message);
        const packed = zlib.deflateSync(input, { level: 6 });
        const back = zlib.inflateSync(packed);
        const output = new Uint8Array(input.length);
        output.set(back);
        output.reverse();
        const answer = { bytes: output.buffer, churn: buffers(random, 300), same: back.equals(input) };
        parentPort.postMessage(answer, [output.buffer]);
    });
} else {
    const rounds = Number(process.argv[2]);
    const random = generator(7);

    const records = [];
    for (let i = 0; i < 40000; i++) {
        const tags = [random(9), `t${random(99)}`];
        records.push({ id: i, name: `name ${random(1e6)}`, tags, deep: { i, a: [i / 7] } });
    }
    let text = JSON.stringify(records);
    for (let i = 0; i < rounds; i++) text = JSON.stringify(JSON.parse(text), null, i % 3);
    text = JSON.stringify(JSON.parse(text));
    console.log('json', text.length, JSON.parse(text).length, digest(text));

    const map = new Map();
    for (let i = 0; i < 300000; i++) {
        const key = `k${random(50000)}`;
        if (random(4) === 0) map.delete(key);
        else map.set(key, (map.get(key) || 0) + i);
    }
    console.log('map', map.size, digest([...map].sort().join()));

    console.log('buffers', buffers(random, 6000 * rounds));

    const zipped = zlib.gzipSync(text);
    const options = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5 } };
    const brotli = zlib.brotliCompressSync(text.slice(0, 1e6), options);
    console.log('zlib', zlib.gunzipSync(zipped).toString() === text, digest(brotli));

    const workers = 4, each = 10 * rounds;
    let active = workers;
    const results = new Array(workers);
    for (let w = 0; w < workers; w++) {
        const worker = new Worker(__filename, { workerData: w + 1 });
        const mine = generator(100 + w);
        const hash = crypto.createHash('sha256');
        let sent = 0, churn = 0, same = 0;
        const send = () => {
            if (sent++ === each) {
                worker.postMessage(null);
                return;
            }
            const data = new Uint8Array(20000 + mine(100000));
            for (let i = 0; i < data.length; i++) data[i] = (i * sent) >> (i & 7);
            worker.postMessage(data.buffer, [data.buffer]);
        };
        worker.on('message', (message) => {
            hash.update(Buffer.from(message.bytes));
            churn += message.churn;
            same += message.same;
            send();
        });
        worker.on('exit', (code) => {
            results[w] = `worker ${w} ${code} ${same} ${churn} ${hash.digest('hex').slice(0, 16)}`;
            if (--active === 0) console.log(results.join('\n'));
        });
        send();
    }

    // Asynchronous work on the thread pool at the same time.
    const jobs = [];
    for (let i = 0; i < 20 * rounds; i++) {
        jobs.push(deflate(Buffer.alloc(50000, `job ${i}`)).then(inflate).then((back) => back.length));
        jobs.push(pbkdf2(`secret ${i}`, 'salt', 100, 64, 'sha512').then(digest));
    }
    Promise.all(jobs).then((values) => console.log('jobs', values.length, digest(values.join())));
}
