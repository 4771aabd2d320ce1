using stream = served.createStream();
for await (const sample of sensor) console.log(stream.step(sample).data);
