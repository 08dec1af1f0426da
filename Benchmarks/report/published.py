"""Figures of others: theirs, from their machines; nothing here was measured by us but the last lines."""

PUBLISHED = [
    ["who (theirs)", "what", "figure"],
    ["Kwanpum, Sripanidkulchai 2020", "containers by CRIU: downtime, stop-and-copy; with page server, pre-copy and HAProxy", "37 s; 12 s"],
    ["Di, Shao, He 2020", "Docker, checkpoint of 1.35 GB: restore before; after their change", "44.8 s; 22.9 s"],
    ["Di, Shao, He 2020", "a workflow of containers: one after the other; at once; as a pipeline", "153.8 s; 126.4 s; 107.7 s"],
    ["Martlet's own prototype in C, before this program", "10 MB and no client: freeze to open network", "38.5 ms (34-40)"],
    ["the same", "0.85 GB, 50 connections and a writer: the same; client's longest gap", "60 ms (47-78); 112 ms (87-174)"],
    ["the same", "3 GB, 50 connections and a writer: the same; client's longest gap", "70 ms (61-81); 140 ms (78-471)"],
]
