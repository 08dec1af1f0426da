import Testing
@testable import Pages

struct AddressViewTests {
    private let page: UInt64 = 4096
    private func range(_ first: UInt64, _ count: UInt64) -> Range<UInt64> { (first * 4096)..<((first + count) * 4096) }
    private func images(_ view: AddressView, _ pages: Range<UInt64>) -> [UInt64?] {
        pages.map { view.image(of: $0 * 4096).map { $0 / 4096 } }
    }
    private func move(_ view: inout AddressView, _ from: UInt64, _ to: UInt64, _ count: UInt64) {
        view.move(from: from * 4096, to: to * 4096, length: count * 4096)
    }

    @Test func `untouched pages are where they were`() {
        let view = AddressView()
        #expect(images(view, 10..<12) == [10, 11])
        #expect(view.current(of: 40960, pages: 16)! == (40960, 16))
    }

    @Test func `a removed page never comes back`() {
        var view = AddressView()
        view.remove(range(10, 2))
        #expect(images(view, 9..<13) == [9, nil, nil, 12])
        #expect(view.current(of: 40960, pages: 1) == nil)
    }

    @Test func `a moved range shows at its new place only, whether or not the unmapping of the old one is told`() {
        for told in [true, false] {
            var view = AddressView()
            move(&view, 10, 100, 4)
            if told { view.unmap(range(10, 4)) }  // the kernel's order: REMAP first
            #expect(images(view, 9..<15) == [9, nil, nil, nil, nil, 14])
            #expect(images(view, 100..<105) == [10, 11, 12, 13, 104])
            #expect(view.current(of: 11 * page, pages: 16)! == (101 * page, 3))
            #expect(view.current(of: 8 * page, pages: 16)! == (8 * page, 2))
        }
    }

    @Test func `a range moved away and back is as before`() {
        var view = AddressView()
        move(&view, 10, 100, 4)
        view.unmap(range(10, 4))
        move(&view, 100, 10, 4)
        view.unmap(range(100, 4))
        #expect(images(view, 9..<15) == [9, 10, 11, 12, 13, 14])
        #expect(!view.hasMoves)
    }

    @Test func `what lay at the target of a move is gone`() {
        var view = AddressView()
        move(&view, 10, 20, 2)  // onto pages 20 and 21, whose unmapping was not told
        #expect(images(view, 19..<23) == [19, 10, 11, 22])
        move(&view, 20, 40, 2)
        #expect(images(view, 19..<23) == [19, nil, nil, 22])
        #expect(images(view, 40..<42) == [10, 11])
    }

    @Test func `parts of a moved range are moved, removed and unmapped`() {
        var view = AddressView()
        move(&view, 0, 100, 10)
        view.remove(range(102, 1))
        move(&view, 104, 200, 2)
        view.unmap(range(108, 2))
        #expect(images(view, 100..<110) == [0, 1, nil, 3, nil, nil, 6, 7, nil, nil])
        #expect(images(view, 200..<202) == [4, 5])
        #expect(images(view, 0..<10) == Array(repeating: nil, count: 10))
    }

    @Test func `a fork sees its own removals only`() {
        var parent = AddressView()
        parent.remove(range(1, 1))
        var child = parent
        child.remove(range(2, 1))
        parent.remove(range(3, 1))
        #expect(images(parent, 0..<5) == [0, nil, 2, nil, 4])
        #expect(images(child, 0..<5) == [0, nil, nil, 3, 4])
    }

    @Test func `removing a huge range costs nothing and is exact at its ends`() {
        var view = AddressView()
        view.remove(range(5, 1 << 30))
        #expect(images(view, 4..<6) == [4, nil])
        let end: UInt64 = 5 + (1 << 30)
        #expect(images(view, (end - 1)..<(end + 1)) == [nil, end])
    }

    /// The same events against a plain table of pages.
    @Test(arguments: 1...20) func `any history gives what a table of pages gives`(seed: UInt64) {
        var random = seed &* 0x9E37_79B9_7F4A_7C15
        func next(_ below: UInt64) -> UInt64 {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            return random % below
        }
        var table = (0..<UInt64(256)).map { Optional($0) }
        var view = AddressView()
        for _ in 0..<200 {
            let from = next(240), count = 1 + next(15), to = next(240)
            switch next(3) {
            case 0:
                view.remove(range(from, count))
                for page in from..<(from + count) { table[Int(page)] = nil }
            case 1:
                view.unmap(range(from, count))
                for page in from..<(from + count) { table[Int(page)] = nil }
            default:
                guard from + count <= to || to + count <= from else { continue }
                view.unmap(range(to, count))
                move(&view, from, to, count)
                view.unmap(range(from, count))
                for page in 0..<count {
                    table[Int(to + page)] = table[Int(from + page)]
                    table[Int(from + page)] = nil
                }
            }
            #expect(images(view, 0..<256) == table)
        }
        for (place, image) in table.enumerated() {
            if let image { #expect(view.current(of: image * page, pages: 1)?.address == UInt64(place) * page) }
        }
    }
}
