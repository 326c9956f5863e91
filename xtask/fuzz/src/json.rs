//! A slow reader of JSON (RFC 8259), written from its grammar: every value is looked at again for
//! each question.

use std::str;

/// A member of an object: its name, and the text of its value.
pub type Member<'a> = (String, &'a str);

/// The members of the object that the text is, in order, however deep their values are.
#[must_use]
pub fn object(text: &str) -> Option<Vec<Member<'_>>> {
    let mut members = Vec::new();
    let mut rest = blank(text).strip_prefix('{')?;
    if let Some(end) = blank(rest).strip_prefix('}') {
        return blank(end).is_empty().then_some(members);
    }
    loop {
        rest = blank(rest);
        let (name, after) = string_literal(rest)?;
        rest = blank(blank(after).strip_prefix(':')?);
        let after = value(rest)?;
        members.push((string(name)?, &rest[..rest.len() - after.len()]));
        rest = blank(after);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return blank(rest.strip_prefix('}')?).is_empty().then_some(members),
        }
    }
}

/// What a string literal stands for; `None` if an escape stands for half of a character.
#[must_use]
pub fn string(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut units: Vec<u16> = Vec::new();
    let mut rest = inner;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first != '\\' {
            units.extend(first.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let escape = rest.chars().next()?;
        rest = &rest[escape.len_utf8()..];
        units.push(match escape {
            '"' | '\\' | '/' => u16::try_from(u32::from(escape)).ok()?,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits = rest.get(..4)?;
                rest = &rest[4..];
                u16::from_str_radix(digits, 16).ok()?
            }
            _ => return None,
        });
    }
    // Two escapes are one character, if they are the halves of one.
    String::from_utf16(&units).ok()
}

/// The text as a string literal.
#[must_use]
pub fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() || byte == b' ' => literal.push(byte.into()),
            _ => literal.push_str(&format!("\\u{unit:04x}")),
        }
    }
    literal + "\""
}

/// What follows the value that the text begins with.
fn value(text: &str) -> Option<&str> {
    let mut rest = text;
    // What is open: the ends that are still to come.
    let mut open: Vec<char> = Vec::new();
    loop {
        rest = blank(rest);
        let first = rest.chars().next()?;
        let mut is_whole = true;
        rest = match first {
            '{' | '[' => {
                let end = if first == '{' { '}' } else { ']' };
                let inside = blank(&rest[1..]);
                match inside.strip_prefix(end) {
                    Some(after) => after,
                    None => {
                        open.push(end);
                        is_whole = false;
                        if first == '{' { name(inside)? } else { inside }
                    }
                }
            }
            '"' => string_literal(rest)?.1,
            '-' | '0'..='9' => number(rest)?,
            _ => ["null", "true", "false"]
                .iter()
                .find_map(|word| rest.strip_prefix(word))?,
        };
        while is_whole {
            let Some(end) = open.last() else {
                return Some(rest);
            };
            rest = blank(rest);
            if let Some(after) = rest.strip_prefix(*end) {
                open.pop();
                rest = after;
                continue;
            }
            rest = rest.strip_prefix(',')?;
            if *end == '}' {
                rest = name(blank(rest))?;
            }
            is_whole = false;
        }
    }
}

/// What follows a member's name and its colon.
fn name(text: &str) -> Option<&str> {
    blank(string_literal(text)?.1).strip_prefix(':')
}

/// A string with its quotes, and what follows it.
fn string_literal(text: &str) -> Option<(&str, &str)> {
    let mut characters = text.char_indices();
    if characters.next()?.1 != '"' {
        return None;
    }
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some(text.split_at(at + 1)),
            '\0'..='\x1f' => return None,
            '\\' => match characters.next()?.1 {
                'u' => {
                    for _ in 0..4 {
                        characters.next()?.1.is_ascii_hexdigit().then_some(())?;
                    }
                }
                escape => "\"\\/bfnrt".contains(escape).then_some(())?,
            },
            _ => {}
        }
    }
    None
}

/// What follows a number.
fn number(text: &str) -> Option<&str> {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    match digits(rest) {
        0 => return None,
        count if count > 1 && rest.starts_with('0') => return None,
        count => rest = &rest[count..],
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        (count > 0).then_some(())?;
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(exponent);
        (count > 0).then_some(())?;
        rest = &exponent[count..];
    }
    Some(rest)
}

fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_to_their_end() {
        let text = " { \"a\" : [ { \"b\" : [ ] , \"c\" : { } } , 1 ] , \"\\u0061\":-0.5e+1 } ";
        let members = object(text).unwrap();
        assert_eq!(
            members[0],
            ("a".to_owned(), "[ { \"b\" : [ ] , \"c\" : { } } , 1 ]")
        );
        assert_eq!(members[1], ("a".to_owned(), "-0.5e+1"));
        assert_eq!(object("{}").unwrap(), []);
        for bad in [
            "",
            "[]",
            "{",
            "{}x",
            "{,}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "{\"a\":1e}",
            "{\"a\":-}",
            "{\"a\":+1}",
            "{\"a\":nul}",
            "{\"a\":[1}",
            "{\"a\":{]}",
            "{\"a\":[,]}",
            "{\"a\":{\"b\"}}",
            "{\"a\":\"\t\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u00g0\"}",
            "{\"a\":\"}",
            "{a:1}",
            "{\"\\ud800\":1}",
            "{\"a\":1 \"b\":2}",
        ] {
            assert_eq!(object(bad), None, "{bad}");
        }
    }

    #[test]
    fn literals_are_read_as_they_were_written() {
        for text in ["", "a b", "é\u{1f600}\"\\\n\0\u{7f}", "\u{ffff}"] {
            assert_eq!(string(&literal(text)).as_deref(), Some(text));
        }
        assert_eq!(
            string(r#""\/\b\uD83D\uDE00""#).as_deref(),
            Some("/\u{8}\u{1f600}")
        );
        for half in [r#""\ud83d""#, r#""\udE00\ud83d""#, r#""\ud83da""#] {
            assert_eq!(string(half), None);
        }
    }
}
