// In Nodes 2.0 an image on one of our nodes takes the space that the node has, with a small minimum.
//
// Front ends up to 1.35 make a node as high as its image at the node's full width, so that a portrait covers the
// nodes below; later ones reserve 220 units for any image, which is more than a graph with six of them has.

const NODE = ".lg-node:has([node-type^='LumosX'])";

const style = document.createElement("style");
style.textContent = `
${NODE} .image-preview { flex: 1 1 auto; min-height: 160px !important }
${NODE} .image-preview > :first-child:has(> img) { flex: 1 1 0; height: 0 }
${NODE} .image-preview > :first-child > img { position: absolute; inset: 0; width: 100%; height: 100% }
`;
document.head.append(style);
