// A model that answers streams of samples over HTTP. Each client has a stream of its own, which remembers:
//   npx lookback train examples/stream-server/config.json
//   node examples/stream-server/server.mjs runs/stream-server/model.safetensors [PORT]
//   curl -d '[0.1, 0.2, ...]' localhost:8080/some-client     the outputs after this sample
//   curl -X DELETE localhost:8080/some-client                forget the client
import { createServer } from 'node:http';
import { loadModel, LookbackError } from 'lookback';

const [path, port = '8080'] = process.argv.slice(2);
const model = await loadModel(path);
const streams = new Map();
const limit = 10_000; // clients; the one silent for longest has to go

function streamOf(client) {
  const stream = streams.get(client) ?? model.createStream();
  streams.delete(client);
  streams.set(client, stream);
  if (streams.size > limit) forget(streams.keys().next().value);
  return stream;
}

function forget(client) {
  streams.get(client)?.dispose();
  streams.delete(client);
}

const server = createServer(async (request, response) => {
  const answer = (status, body) => response.writeHead(status).end(`${JSON.stringify(body)}\n`);
  try {
    const client = request.url;
    if (request.method === 'DELETE') return answer(200, forget(client) ?? {});
    let text = '';
    for await (const chunk of request) if ((text += chunk).length > 1e6) return answer(413, {});
    answer(200, [...streamOf(client).step([JSON.parse(text)]).data]);
  } catch (error) {
    const theirs = error instanceof LookbackError || error instanceof SyntaxError;
    answer(theirs ? 400 : 500, { error: error.message });
  }
});
server.listen(+port, '127.0.0.1', () => console.log('listening on', server.address().port));
