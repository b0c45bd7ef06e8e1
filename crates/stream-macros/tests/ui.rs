//! Every mistake is reported on the token that caused it, with a hint: one fixture each, in a folder per kind.
//!
//! Nothing is generated when something is wrong, so the fixtures need no other crate of ours. After a change of words,
//! run with `TRYBUILD=overwrite` and read the difference.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*/*.rs");
}
