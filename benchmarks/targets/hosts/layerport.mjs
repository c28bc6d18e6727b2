// A module that layerport wrote.

export async function load(folder, file) {
  const { predict } = await import(`${folder}/${file}`);
  return { predict };
}
