//! What people are told at the end, on standard error: in colours on a terminal, plain everywhere else.
//!
//! Errors come as finished text (`error[kind]`, `-->`, excerpt, caret, `= help`), the same for logs, tests and people.
//! Colour is laid over that text line by line, so there is no second form that could say something else; why not by
//! miette is in docs/decisions/0006-plain-text-reports.md.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use stream_core::Error;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const MESSAGE: Style = Style::new().bold();
const FRAME: Style = AnsiColor::Blue.on_default().bold();
const HELP: Style = AnsiColor::Green.on_default().bold();

/// Prints an error with its place and what to do next.
pub(crate) fn error(error: &Error) {
    // Plain if standard error is no terminal, or NO_COLOR says so.
    anstream::eprintln!("{}", paint(&error.to_string()));
}

/// Prints one line.
pub(crate) fn line(text: &str) {
    anstream::eprintln!("{text}");
}

/// Whether standard error shows colours: it is a terminal and NO_COLOR does not forbid them, or CLICOLOR_FORCE wants
/// them.
pub(crate) fn is_coloured() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// The text with colours and nothing else.
fn paint(text: &str) -> String {
    let mut painted = String::with_capacity(text.len() * 2);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            painted.push('\n');
        }
        paint_line(line, &mut painted);
    }
    painted
}

fn paint_line(line: &str, painted: &mut String) {
    let mut add = |style: Style, text: &str| {
        // Writing to a String cannot fail.
        let _ = if text.is_empty() { Ok(()) } else { write!(painted, "{style}{text}{style:#}") };
    };
    let indent = line.len() - line.trim_start().len();
    let (blanks, rest) = line.split_at(indent);
    if let Some((kind, message)) = line.split_once(": ").filter(|(kind, _)| is_head(kind)) {
        add(ERROR, kind);
        add(MESSAGE, &format!(": {message}"));
    } else if let Some(help) = rest.strip_prefix("= help:").filter(|_| indent > 0) {
        add(FRAME, &format!("{blanks}= "));
        add(HELP, "help:");
        add(Style::new(), help);
    } else if let Some(place) = rest.strip_prefix("--> ").filter(|_| indent > 0) {
        add(FRAME, &format!("{blanks}--> "));
        add(Style::new(), place);
    } else if let Some((gutter, code)) = line.split_once('|').filter(|(gutter, _)| is_gutter(gutter)) {
        add(FRAME, &format!("{gutter}|"));
        let under = !code.trim().is_empty() && code.trim().bytes().all(|byte| byte == b'^');
        add(if under { ERROR } else { Style::new() }, code);
    } else {
        match rest.strip_prefix("= ").filter(|_| indent > 0) {
            Some(fact) => {
                add(FRAME, &format!("{blanks}= "));
                add(Style::new(), fact);
            }
            None => add(Style::new(), line),
        }
    }
}

/// `error[config]`
fn is_head(text: &str) -> bool {
    let kind = text.strip_prefix("error[").and_then(|rest| rest.strip_suffix(']'));
    kind.is_some_and(|kind| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// ` 12 ` before the bar of an excerpt.
fn is_gutter(text: &str) -> bool {
    text.starts_with(' ') && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
error[config]: `often` is not a whole number
  --> application.yml:2:16
   |
 2 |   interval.ms: often
   |                ^^^^^
   = key: checkpoint.interval.ms
   = help: write a whole number

error[user]: panicked: a | b
  --> operator `parse` (uid parse), subtask 1 of 2
went on = help: | with
several lines";

    #[test]
    fn head_caret_and_help_stand_out() {
        let visible = paint(TEXT).replace('\u{1b}', "~").replace("~[0m", "~");
        let visible: Vec<&str> = visible.lines().collect();
        assert_eq!(visible[0], "~[1m~[31merror[config]~~[1m: `often` is not a whole number~");
        assert_eq!(visible[1], "~[1m~[34m  --> ~application.yml:2:16");
        assert_eq!(visible[3], "~[1m~[34m 2 |~   interval.ms: often");
        assert_eq!(visible[4], "~[1m~[34m   |~~[1m~[31m                ^^^^^~");
        assert_eq!(visible[6], "~[1m~[34m   = ~~[1m~[32mhelp:~ write a whole number");
    }

    #[test]
    fn colours_add_nothing_to_the_text() {
        let painted = paint(TEXT);
        assert_ne!(painted, TEXT);
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), TEXT);
        let plain = "error: this is no head\n a plain line | with a bar\n";
        assert!(!paint(plain).contains('\u{1b}'), "{:?}", paint(plain));
    }
}
