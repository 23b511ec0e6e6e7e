// Nodes of a workflow as the server calls them: "7", or "3:7" for a node within a subgraph.

// Each node with its id, and the subgraph nodes around it, outermost first.
export function* nodesIn(graph, path = "", within = []) {
    for (const node of graph.nodes) {
        yield [`${path}${node.id}`, node, within];
        if (node.subgraph) yield* nodesIn(node.subgraph, `${path}${node.id}:`, [...within, node]);
    }
}
