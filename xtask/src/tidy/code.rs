//! Rust source as a search may see it: comments and the contents of strings blanked, test modules told apart.
//!
//! Not a parser. Offsets and line breaks stay where they were, so a hit in the blanked text is a line of the file.

use std::ops::Range;

/// `text` with every comment, and the contents of every string and character literal, replaced by spaces.
pub(super) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = at
            + if rest.starts_with(b"//") {
                rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
            } else if rest.starts_with(b"/*") {
                block_comment(rest)
            } else if let Some(length) = raw_string(bytes, at) {
                length
            } else if rest[0] == b'"' {
                string(rest)
            } else if rest[0] == b'\'' {
                character(rest)
            } else {
                at += 1;
                continue;
            };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Only whole literals and comments were replaced, byte by byte with ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// The length of the comment that `rest` begins with; such comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of the raw string at `at` (`r"…"`, `br#"…"#`), if there is one.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let inside_a_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if inside_a_word {
        return None;
    }
    let rest = &bytes[at..];
    let prefix = [&b"r"[..], b"br", b"cr"].into_iter().find(|prefix| rest.starts_with(prefix))?.len();
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = &rest[open + 1..];
    let length = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    Some((open + 1 + length + close.len()).min(rest.len()))
}

/// The length of the string that `rest` begins with.
fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of the character literal that `rest` begins with; 1 for the quote of a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'');
        return close.map_or(rest.len(), |close| close + 4);
    }
    // One character of up to four bytes, then the closing quote.
    let width = match rest.get(1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0x80..) => 2,
        _ => 1,
    };
    if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 1 }
}

/// The byte ranges of items under `#[cfg(test)]`, in text that [`blank`] has made; all of it if the file itself is.
pub(super) fn test_items(blanked: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    if blanked.contains("#![cfg(test)]") {
        items.push(0..blanked.len());
        return items;
    }
    let mut from = 0;
    while let Some(found) = blanked[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(blanked, start + "#[cfg(test)]".len());
        items.push(start..end);
        from = end;
    }
    items
}

/// Where the item ends that begins at `from`: at its `;`, or at the brace that closes its body.
fn item_end(blanked: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in blanked.bytes().enumerate().skip(from) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return offset + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    blanked.len()
}

/// `blanked` without its test items.
pub(super) fn without_tests(blanked: &str) -> String {
    let mut out = blanked.as_bytes().to_vec();
    for item in test_items(blanked) {
        out[item].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
    // Whole items were replaced, byte by byte with ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// The line that `offset` is on, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Where `word` stands in `text` with no identifier character, nor `::` before it, touching it.
///
/// So `thread::spawn` is not found in `crate::thread::spawn`, nor `unsafe` in `unsafe_code`.
pub(super) fn find_word<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let identifier = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.match_indices(word).map(|(offset, _)| offset).filter(move |&offset| {
        let before = &text.as_bytes()[..offset];
        let after = text.as_bytes().get(offset + word.len()).copied();
        let starts = !before.last().is_some_and(|byte| identifier(*byte)) && !before.ends_with(b"::");
        let ends = !after.is_some_and(identifier) || !word.bytes().last().is_some_and(identifier);
        starts && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", z)"#, "f(      , z)"),
            (r##"r#"a"b"# c"##, "         c"),
            ("'\\n' x", "     x"),
            ("'ä' x", "     x"),
            ("fn f<'a>(x: &'a str)", "fn f< a>(x: & a str)"),
            ("letter\"s\"", "letter   "),
        ];
        for (text, expected) in cases {
            assert_eq!(blank(text), expected, "{text}");
        }
    }

    #[test]
    fn strings_over_lines_keep_the_lines() {
        assert_eq!(blank("\"a\nb\"\nc"), "  \n  \nc");
    }

    #[test]
    fn test_modules_are_left_out() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { if x { } } }\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}";
        let kept: String = without_tests(text).split_whitespace().collect();
        assert_eq!(kept, "fna(){}fnc(){}fnd(){}");
        assert_eq!(without_tests("#![cfg(test)]\nfn a() {}").trim(), "");
    }

    #[test]
    fn words_are_whole() {
        let found = |text, word| find_word(text, word).count();
        assert_eq!(found("unsafe { }", "unsafe"), 1);
        assert_eq!(found("#![allow(unsafe_code)]", "unsafe"), 0);
        assert_eq!(found("crate::thread::spawn()", "thread::spawn"), 0);
        assert_eq!(found("thread::spawn(f)", "thread::spawn"), 1);
        assert_eq!(found("rdkafka_sys::x; rdkafka::y", "rdkafka"), 1);
    }

    #[test]
    fn lines_count_from_one() {
        assert_eq!([line_of("a\nb", 0), line_of("a\nb", 2)], [1, 2]);
    }
}
