//! Where a source starts: topics by pattern, timestamp, offsets per partition, and what to do without a position.

use std::time::Duration;

use super::common::{is_topic_name, split, with_prefix};
use crate::keys::draft::{Draft, Given};
use crate::keys::engine::AutoOffsetReset;

/// Translates them.
pub(super) fn run(draft: &mut Draft) {
    pattern(draft);
    draft.engine.start_from_timestamp = draft.get("start.from.timestamp").and_then(|given| given.value.parse().ok());
    offsets(draft);
    reset(draft);
}

fn pattern(draft: &mut Draft) {
    let Some(given) = draft.get("pattern") else {
        return;
    };
    let key = &given.key;
    if let Some(topic) = draft.get("topic") {
        let message = format!("`{}` and `{key}` are both set", topic.key);
        draft.refuse(key, message, "keep one: a list of topics, or a pattern of their names");
    }
    if let Some(what) = java_only(&given.value) {
        let message = format!("`{key}` uses {what}, which expressions have in Java but not here");
        draft.refuse(key, message, "write the expression without it, or list the topics under `topic`");
    }
    draft.engine.pattern = Some(given.value);
}

/// What an expression holds that only Java's engine knows.
fn java_only(pattern: &str) -> Option<&'static str> {
    let mut rest = pattern;
    let mut quantified = false;
    while let Some(first) = rest.chars().next() {
        let look = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|sign| rest.starts_with(sign));
        match first {
            _ if look => return Some("look-around"),
            _ if rest.starts_with("(?>") => return Some("an atomic group"),
            '\\' => {
                let next = rest.chars().nth(1);
                if matches!(next, Some('1'..='9' | 'k')) {
                    return Some("a back reference");
                }
                rest = rest.get(1 + next.map_or(0, char::len_utf8)..).unwrap_or_default();
                quantified = false;
                continue;
            }
            '+' if quantified => return Some("a possessive quantifier"),
            _ => {}
        }
        quantified = matches!(first, '*' | '+' | '?' | '}');
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    None
}

/// `start.from.offset.<topic>`. A topic that is itself called `topic` shares its key with the list of topics; names
/// of topics hold no colon, so a value with one is that topic's offsets.
fn offsets(draft: &mut Draft) {
    let mut list: Option<(Given, Vec<String>)> = None;
    for (topic, given) in with_prefix(draft, "start.from.offset.") {
        if topic == "topic" && !given.value.contains(':') {
            let topics = split(&given.value).map(str::to_owned).collect();
            list = Some((given, topics));
            continue;
        }
        if !is_topic_name(&topic) {
            draft.refuse_plainly(&given.key, format!("`{topic}` in `{}` is not a topic name", given.key));
        }
        match pairs(&given.value) {
            Ok(pairs) => drop(draft.engine.start_from_offsets.insert(topic, pairs)),
            Err((column, problem)) => {
                let message = format!("`{}`: {problem} at column {column} of the value", given.key);
                draft.refuse(&given.key, message, "write `partition:offset`, several with commas: `0:182,1:183`");
            }
        }
    }
    if let Some((given, topics)) = list {
        compare_with_list(draft, &given, &topics);
    }
}

/// The list and the topics with offsets have to be the same ones.
fn compare_with_list(draft: &mut Draft, list: &Given, topics: &[String]) {
    let offsets = with_prefix(draft, "start.from.offset.");
    let is_set = |topic: &String| topic != "topic" && offsets.iter().any(|(known, _)| known == topic);
    for topic in topics.iter().filter(|topic| !is_set(topic)) {
        let message = format!("`{}` lists `{topic}`, but `start.from.offset.{topic}` is not set", list.key);
        draft.refuse(&list.key, message, "set it, or take the topic off the list");
    }
    for (topic, other) in &offsets {
        if topic != "topic" && !topics.contains(topic) {
            let message = format!("`{}` is set, but `{}` does not list `{topic}`", other.key, list.key);
            draft.refuse(&other.key, message, "add the topic to the list, or remove the line");
        }
    }
}

/// `0:182,1:183`. The error is a column, counted from 1, and what is wrong there.
fn pairs(value: &str) -> Result<Vec<(i32, i64)>, (usize, String)> {
    let mut pairs: Vec<(i32, i64)> = Vec::new();
    let mut column = 1;
    for item in value.split(',') {
        let blanks = item.chars().take_while(|c| c.is_whitespace()).count();
        let start = column + blanks;
        column += item.chars().count() + 1;
        let item = item.trim();
        let (partition, offset) =
            item.split_once(':').ok_or_else(|| (start, format!("expected `partition:offset`, found `{item}`")))?;
        let wrong = |what: &str, text: &str| (start, format!("`{text}` is not {what}"));
        let number = partition.trim().parse::<i32>().ok().filter(|number| *number >= 0);
        let partition = number.ok_or_else(|| wrong("a partition", partition))?;
        let position = offset.trim().parse::<i64>().ok().filter(|number| *number >= 0);
        let offset = position.ok_or_else(|| wrong("an offset", offset))?;
        if pairs.iter().any(|(known, _)| *known == partition) {
            return Err((start, format!("partition {partition} appears twice")));
        }
        pairs.push((partition, offset));
    }
    Ok(pairs)
}

fn reset(draft: &mut Draft) {
    let Some(given) = draft.get("auto.offset.reset") else {
        return;
    };
    let key = &given.key;
    let word = given.value.to_ascii_lowercase();
    let reset = match word.as_str() {
        "earliest" | "smallest" | "beginning" => AutoOffsetReset::Earliest,
        "latest" | "largest" | "end" => AutoOffsetReset::Latest,
        "none" | "error" => AutoOffsetReset::None,
        _ => match word.strip_prefix("by_duration:").and_then(iso_duration) {
            Some(back) => AutoOffsetReset::ByDuration(back),
            None => {
                let message = format!("`{}` under `{key}` is not a known position", given.value);
                return draft.refuse(key, message, "write `earliest`, `latest`, `none` or `by_duration:PT1H`");
            }
        },
    };
    draft.engine.auto_offset_reset = Some(reset);
    let native = match reset {
        AutoOffsetReset::Earliest => "earliest",
        AutoOffsetReset::Latest => "latest",
        // The engine asks for offsets by time and seeks; the client must not decide by itself.
        AutoOffsetReset::None | AutoOffsetReset::ByDuration(_) => "error",
    };
    draft.put("auto.offset.reset", native, key);
}

/// An ISO-8601 duration of days, hours, minutes and seconds, as Java's `Duration.parse` reads it; not negative.
fn iso_duration(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_uppercase();
    let body = text.strip_prefix('P')?;
    let (days, clock) = body.split_once('T').map_or((body, None), |(days, clock)| (days, Some(clock)));
    let mut seconds = 0_f64;
    let mut parts = 0;
    for (mut rest, units) in [(days, &[('D', 86_400.0)][..]), (clock.unwrap_or(""), CLOCK)] {
        for (unit, worth) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                let whole = *unit == 'S' || !number.contains('.');
                let plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
                seconds += number.parse::<f64>().ok().filter(|_| whole && plain)? * worth;
                rest = after;
                parts += 1;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (parts > 0 && clock != Some("")).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

const CLOCK: &[(char, f64)] = &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)];
