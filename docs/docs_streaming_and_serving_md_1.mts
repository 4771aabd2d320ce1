using stream = model.createStream();
stream.step([[0.1, 0.2]]);
const kept = stream.snapshot();
using other = stream.fork();
other.step([[9, 9]]);
stream.step([[0.3, 0.1]]);
stream.restore(kept);
stream.reset();
