//! Two lists side by side, so that a failed test can be read.

use std::fmt::{Debug, Write};

/// How many equal lines are shown around a difference.
const CONTEXT: usize = 2;

/// How many lines of both lists are compared for the shortest difference; beyond, they are compared one to one.
const COMPARED_MAX: usize = 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Both,
    Expected,
    Actual,
}

/// Lines with `-` are expected and missing, lines with `+` are there and not expected; the rest is where both agree.
pub(crate) fn difference<T: Debug>(expected: &[T], actual: &[T]) -> String {
    let (expected, actual) = (lines(expected), lines(actual));
    let marked = if expected.len().max(actual.len()) > COMPARED_MAX {
        one_to_one(&expected, &actual)
    } else {
        shortest(&expected, &actual)
    };
    render(&marked)
}

fn lines<T: Debug>(records: &[T]) -> Vec<String> {
    records.iter().map(|record| format!("{record:?}")).collect()
}

fn one_to_one<'a>(expected: &'a [String], actual: &'a [String]) -> Vec<(Mark, &'a str)> {
    let mut marked = Vec::new();
    for index in 0..expected.len().max(actual.len()) {
        match (expected.get(index), actual.get(index)) {
            (Some(e), Some(a)) if e == a => marked.push((Mark::Both, e.as_str())),
            (e, a) => {
                marked.extend(e.map(|e| (Mark::Expected, e.as_str())));
                marked.extend(a.map(|a| (Mark::Actual, a.as_str())));
            }
        }
    }
    marked
}

/// The difference that keeps most lines, by the textbook table of longest common subsequences.
fn shortest<'a>(expected: &'a [String], actual: &'a [String]) -> Vec<(Mark, &'a str)> {
    let mut common = vec![vec![0u32; actual.len() + 1]; expected.len() + 1];
    for (i, e) in expected.iter().enumerate().rev() {
        for (j, a) in actual.iter().enumerate().rev() {
            common[i][j] = if e == a { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut marked) = (0, 0, Vec::new());
    while i < expected.len() || j < actual.len() {
        if i < expected.len() && j < actual.len() && expected[i] == actual[j] {
            marked.push((Mark::Both, expected[i].as_str()));
            (i, j) = (i + 1, j + 1);
        } else if j == actual.len() || (i < expected.len() && common[i + 1][j] >= common[i][j + 1]) {
            marked.push((Mark::Expected, expected[i].as_str()));
            i += 1;
        } else {
            marked.push((Mark::Actual, actual[j].as_str()));
            j += 1;
        }
    }
    marked
}

/// Leaves out equal lines that are far from every difference.
fn render(marked: &[(Mark, &str)]) -> String {
    let mut text = String::new();
    let mut skipped = 0;
    for (index, (mark, line)) in marked.iter().enumerate() {
        let around = &marked[index.saturating_sub(CONTEXT)..(index + CONTEXT + 1).min(marked.len())];
        if around.iter().all(|(mark, _)| *mark == Mark::Both) {
            skipped += 1;
            continue;
        }
        skip(&mut text, &mut skipped);
        let sign = match mark {
            Mark::Both => ' ',
            Mark::Expected => '-',
            Mark::Actual => '+',
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {sign} {line}");
    }
    skip(&mut text, &mut skipped);
    text
}

fn skip(text: &mut String, skipped: &mut usize) {
    if *skipped > 0 {
        let _ = writeln!(text, "    ({skipped} equal)");
        *skipped = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_too_much() {
        assert_eq!(difference(&[1, 2, 3], &[1, 3, 4]), "    1\n  - 2\n    3\n  + 4\n");
    }

    #[test]
    fn far_equal_lines_are_left_out() {
        let expected: Vec<i32> = (0..10).collect();
        let actual: Vec<i32> = (0..10).filter(|x| *x != 5).collect();
        assert_eq!(difference(&expected, &actual), "    (3 equal)\n    3\n    4\n  - 5\n    6\n    7\n    (2 equal)\n");
    }

    #[test]
    fn long_lists_are_compared_too() {
        let expected = vec![7; 2000];
        assert_eq!(difference(&expected, &expected[1..]), "    (1997 equal)\n    7\n    7\n  - 7\n");
    }
}
