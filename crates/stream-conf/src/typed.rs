//! From the flat keys of a section to checked settings: a serde deserializer over text.
//!
//! serde stops at the first value that does not fit. People correct a file faster when they see
//! every mistake, so a refused value is noted, its key is left out, and the section is read once
//! more; unknown keys are noted on the way. What a later run reports only because a key was left
//! out is dropped.

mod error;
mod node;
mod scalar;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use crate::error::{Error, Problem};
use crate::key::below;
use crate::section::Section;
use error::Refusal;

/// All that is said about a secret that does not fit.
pub(crate) const SECRET_REFUSED: &str = "the value (a secret) does not fit here";

use node::Node;
pub(crate) use scalar::refusal;

/// Most values reported of one section; more would not be read anyway.
const ROUNDS_MAX: usize = 50;

/// What is found out while a section is read.
struct Findings {
    prefix: String,
    /// Keys and sections left out because their values were refused.
    refused: BTreeSet<String>,
    /// By full key, so that a second round does not report twice.
    problems: RefCell<BTreeMap<String, Problem>>,
    /// Unknown keys of the section itself are given back.
    keep_rest: bool,
    rest: RefCell<BTreeSet<String>>,
}

impl Findings {
    /// Whether the key or a section around it is left out.
    fn is_refused(&self, full_key: &str) -> bool {
        self.refused.iter().any(|refused| full_key == refused || below(full_key, refused).is_some())
    }

    fn report(&self, full_key: &str, problem: Problem) {
        self.problems.borrow_mut().entry(full_key.to_owned()).or_insert(problem);
    }
}

pub(crate) fn deserialize<T: DeserializeOwned>(section: &Section, keep_rest: bool) -> Result<(T, Section), Error> {
    let mut findings = Findings {
        prefix: section.prefix().to_owned(),
        refused: BTreeSet::new(),
        problems: RefCell::default(),
        keep_rest,
        rest: RefCell::default(),
    };
    let mut settings = None;
    for _ in 0..ROUNDS_MAX {
        findings.rest.borrow_mut().clear();
        match T::deserialize(Node::top(section, &findings)) {
            Ok(value) => {
                settings = Some(value);
                break;
            }
            Err(Refusal::Reported { key }) => {
                if !findings.refused.insert(key) {
                    break;
                }
            }
            Err(Refusal::Stop) => break,
            Err(refusal) => {
                // Checks of the whole (such as `try_from`) are only fair when nothing is left out.
                if findings.refused.is_empty() {
                    let (message, hint) = refusal.into_words();
                    findings.report(section.prefix(), section.problem("", message, hint));
                }
                break;
            }
        }
    }
    let mut problems: Vec<Problem> = findings.problems.into_inner().into_values().collect();
    // By line, as a reader meets them; what has no place comes last.
    problems.sort_by(|one, other| {
        let place = |problem: &Problem| (problem.origin().is_none(), problem.origin().cloned());
        place(one).cmp(&place(other))
    });
    match settings {
        Some(settings) if problems.is_empty() => {
            let rest = findings.rest.into_inner();
            let taken: Vec<&str> = section.iter().map(|(key, _)| key).filter(|key| !rest.contains(*key)).collect();
            Ok((settings, section.without(&taken)))
        }
        _ => Err(Error::of(problems)
            .unwrap_or_else(|| Problem::new("the section cannot be read").with_key(section.prefix()).into())),
    }
}
