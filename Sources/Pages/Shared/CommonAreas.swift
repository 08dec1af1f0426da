public import Host
public import Model

/// Finds memory that forked processes may have in common, by its addresses: an exec draws new ones, a fork keeps them. Which
/// pages are in common is found by their content.
public enum CommonAreas {
    /// - Parameter spaces: the oldest first, each with its areas.
    /// - Returns: areas that at least two of them have, in address order.
    public static func of(_ spaces: [(space: SpaceID, map: MemoryMap)]) -> [CommonArea] {
        var found: [CommonArea] = []
        for (space, map) in spaces {
            for area in map.areas where isCandidate(area, map) {
                // The first that ends behind this one's start.
                var low = 0, high = found.count
                while low < high {
                    let middle = (low + high) / 2
                    if found[middle].end <= area.start { low = middle + 1 } else { high = middle }
                }
                if low < found.count, found[low].start < area.end {
                    if found[low].spaces.last != space { found[low].spaces.append(space) }
                } else {
                    found.insert(CommonArea(start: area.start, end: area.end, spaces: [space]), at: low)
                }
            }
        }
        return found.filter { $0.spaces.count > 1 }
    }

    /// Stacks grow into gaps, and have few pages.
    private static func isCandidate(_ area: MemoryArea, _ map: MemoryMap) -> Bool {
        area.isPrivateAnonymous && area.protection == [.read, .write] && map.name(of: area) != "[stack]"
    }
}
