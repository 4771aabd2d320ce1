const streams = new Map();

function sample(client, values) {
  if (!streams.has(client)) streams.set(client, model.createStream());
  return streams.get(client).step([values]).data;
}

function gone(client) {
  streams.get(client)?.dispose();
  streams.delete(client);
}

sample('a', [0.1, 0.2]);
sample('b', [0.5, 0.1]);
console.log(sample('a', [0.2, 0.3]));
gone('a');
gone('b');
