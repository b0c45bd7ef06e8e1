//! The grammar of `sasl.jaas.config`: `<class> <flag> (<option>=<value>)* ;`, exactly one login, as Kafka reads it.
//!
//! Errors carry a position and never a piece of the text, because the text holds the password.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// A login module with its options. Not printable: options hold passwords.
pub(crate) struct Login {
    /// The class of the login module.
    pub(crate) module: String,
    /// Its options.
    pub(crate) options: BTreeMap<String, String>,
}

/// What is wrong, and at which character, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) position: usize,
    pub(crate) what: &'static str,
}

/// Reads one login.
pub(crate) fn parse(text: &str) -> Result<Login, Malformed> {
    let mut cursor = Cursor { rest: text.chars().peekable(), position: 1 };
    let module = cursor.word("expected the class of a login module")?;
    let flag = cursor.word("expected `required` after the class")?;
    let flags = ["required", "requisite", "sufficient", "optional"];
    if !flags.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
        return Err(cursor.wrong("expected `required` after the class"));
    }
    let mut options = BTreeMap::new();
    loop {
        cursor.skip_blanks();
        if cursor.take(';') {
            break;
        }
        let name = cursor.word("expected an option or the closing `;`")?;
        cursor.skip_blanks();
        if !cursor.take('=') {
            return Err(cursor.wrong("expected `=` after the name of an option"));
        }
        let value = cursor.value()?;
        options.insert(name, value);
    }
    cursor.skip_blanks();
    match cursor.rest.peek() {
        None => Ok(Login { module, options }),
        Some(_) => Err(cursor.wrong("expected the end after `;`: only one login is possible")),
    }
}

struct Cursor<'a> {
    rest: Peekable<Chars<'a>>,
    position: usize,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<char> {
        self.position += 1;
        self.rest.next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.rest.peek() == Some(&wanted);
        if found {
            self.next();
        }
        found
    }

    fn skip_blanks(&mut self) {
        while self.rest.peek().is_some_and(|c| c.is_whitespace()) {
            self.next();
        }
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { position: self.position, what }
    }

    fn word(&mut self, expected: &'static str) -> Result<String, Malformed> {
        self.skip_blanks();
        let mut word = String::new();
        while let Some(c) = self.rest.peek().copied().filter(|c| !c.is_whitespace() && !matches!(c, '=' | ';' | '"')) {
            word.push(c);
            self.next();
        }
        if word.is_empty() { Err(self.wrong(expected)) } else { Ok(word) }
    }

    fn value(&mut self) -> Result<String, Malformed> {
        self.skip_blanks();
        let Some(quote) = self.rest.peek().copied().filter(|c| matches!(c, '"' | '\'')) else {
            return self.word("expected the value of an option");
        };
        self.next();
        let opened = self.position;
        let mut value = String::new();
        loop {
            match self.next() {
                None | Some('\n') => {
                    return Err(Malformed { position: opened, what: "a quote is never closed" });
                }
                Some(c) if c == quote => return Ok(value),
                Some('\\') => value.push(self.escaped()),
                Some(c) => value.push(c),
            }
        }
    }

    /// The character after a backslash, by the rules of Java's tokenizer.
    fn escaped(&mut self) -> char {
        match self.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('f') => '\u{c}',
            Some('b') => '\u{8}',
            Some(first @ '0'..='7') => {
                let mut code = first as u32 - '0' as u32;
                let most = if first <= '3' { 2 } else { 1 };
                for _ in 0..most {
                    let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    self.next();
                }
                char::from_u32(code).unwrap_or('\u{fffd}')
            }
            Some(c) => c,
            None => '\\',
        }
    }
}
