import Testing

@testable import Containers

@Suite struct JSONTests {
    @Test(arguments: [
        "null", "true", "[]", "{}", "\"\"", "-0", "0.5e-3", "12345678901234567890123",
        #"{"a":[1,{"b":null}],"c":"\"\\x"}"#,
    ])
    func `a document in one line survives reading and writing`(_ text: String) throws {
        #expect(String(decoding: try JSONValue(parsing: text).encoded(), as: UTF8.self) == text)
    }

    @Test(arguments: [
        "", "{", "[1,]", "{\"a\":}", "01", "1.", "nul", "\"a", "\"\\x\"", "{\"a\":1}x", "\"\u{01}\"", "-", "{1:2}", "\"\\u12\"",
    ])
    func `what is no JSON is refused`(_ text: String) {
        #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: text) }
    }

    @Test func `every cut of a document is refused and none crashes`() {
        let whole = Array(#"{"a":[1,2.5e3,true,"xé😀\n"],"b":{"c":null}}"#.utf8)
        for count in 0..<whole.count {
            #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: Array(whole[..<count])) }
        }
    }

    @Test func `nesting without end is refused`() {
        #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: String(repeating: "[", count: 100_000)) }
    }

    @Test func `escapes are decoded, surrogate pairs too`() throws {
        #expect(try JSONValue(parsing: #""\u00e9\ud83d\ude00\/\t\ud800""#) == .string("é😀/\t\u{fffd}"))
    }

    @Test func `an edit changes its member alone and keeps the order`() throws {
        var json = try JSONValue(parsing: #"{"z":1,"linux":{"cgroupsPath":"/a","x":1e2},"a":2}"#)
        json[["linux", "cgroupsPath"]] = .string("/b")
        json["new"] = .integer(3)
        json["a"] = nil
        #expect(String(decoding: json.encoded(), as: UTF8.self) == #"{"z":1,"linux":{"cgroupsPath":"/b","x":1e2},"new":3}"#)
    }
}
