await model.save('adding.safetensors');

const served = await loadModel('adding.safetensors');
const { shape, data } = await served.predict(held.x);
console.log(shape, data);
served.dispose();
