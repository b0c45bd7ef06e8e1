//! Whole jobs through the public interface: every operator, edge and parallelism, and mistakes in the description.

mod common;

use common::{context, ends};
use stream_core::{
    Batch, Collected, Configuration, Operator, OperatorContext, Output, Record, Result, StreamingContext, Timestamp,
};

/// Runs `describe` at parallelism 1 to 3, with ample and with no room in the exchanges, and compares the sorted results.
fn gives<T: Record + Ord + std::fmt::Debug>(expected: Vec<T>, describe: fn(&StreamingContext) -> Collected<T>) {
    for parallelism in 1..=3 {
        for exchange_bytes in [1, 1 << 20] {
            let mut results = ends(move || {
                let ctx = context(parallelism).exchange_bytes(exchange_bytes);
                let collected = describe(&ctx);
                ctx.execute("job").expect("the job succeeds");
                collected.take()
            });
            results.sort();
            assert_eq!(results, expected, "parallelism {parallelism}, exchange of {exchange_bytes} bytes");
        }
    }
}

#[test]
fn map() {
    gives((0..5000).map(|x| x * 2).collect(), |ctx| ctx.generate(5000, |x| x).map(|x| x * 2).collect());
}

#[test]
fn map_to_a_type_of_another_size() {
    let expected = (0..1000u64).map(|x| [x, x, x]).collect();
    gives(expected, |ctx| ctx.generate(1000, |x| x).map(|x| x as u16).map(|x| [u64::from(x); 3]).rebalance().collect());
}

#[test]
fn map_of_values_on_the_heap() {
    let mut expected: Vec<String> = (0..2000).map(|i| format!("<{i}>")).collect();
    expected.sort();
    gives(expected, |ctx| {
        ctx.generate(2000, |i| i.to_string()).rebalance().map(|s| format!("<{s}")).map(|s| s + ">").collect()
    });
}

#[test]
fn map_to_nothing() {
    gives(vec![(); 3000], |ctx| ctx.generate(3000, |i| i).map(|_| ()).rebalance().map(|()| ()).collect());
}

#[test]
fn filter() {
    gives((0..5000).filter(|x| x % 7 == 0).collect(), |ctx| ctx.generate(5000, |x| x).filter(|x| x % 7 == 0).collect());
}

#[test]
fn a_filter_that_drops_everything() {
    gives(vec![], |ctx| ctx.generate(5000, |x| x).filter(|_| false).rebalance().map(|x| x).collect());
}

#[test]
fn flat_map() {
    let mut expected: Vec<u64> = (0..300).flat_map(|x| vec![x; (x % 4) as usize]).collect();
    expected.sort();
    gives(expected, |ctx| ctx.generate(300, |x| x).flat_map(|x| vec![x; (x % 4) as usize]).rebalance().collect());
}

#[test]
fn one_record_becomes_a_hundred_thousand() {
    gives((0..100_000).collect(), |ctx| {
        ctx.from_iter([0u64]).flat_map(|_| 0..100_000u64).rebalance().flat_map(|x| [x]).rebalance().collect()
    });
}

#[test]
fn a_flat_map_behind_a_flat_map_keeps_the_order() {
    let results = ends(|| {
        let ctx = context(1).exchange_bytes(1);
        let results =
            ctx.from_iter(0..3u64).flat_map(|x| (0..1000).map(move |y| (x, y))).flat_map(|p| vec![p; 3]).collect();
        ctx.execute("order").expect("the job succeeds");
        results.take()
    });
    let expected: Vec<_> = (0..3).flat_map(|x| (0..3000).map(move |y| (x, y / 3))).collect();
    assert!(results == expected);
}

#[test]
fn try_map_and_inspect() {
    gives((0..1000i64).collect(), |ctx| {
        ctx.generate(1000, |x| x.to_string())
            .inspect(|s| assert!(!s.is_empty()))
            .try_map(|s| s.parse::<i64>())
            .collect()
    });
}

#[test]
fn union_of_three() {
    gives((0..600).collect(), |ctx| {
        let part = |from: u64| ctx.generate(200, move |i| from + i);
        part(0).union([part(200).map(|x| x).parallelism(3), part(400).rebalance()]).map(|x| x).collect()
    });
}

#[test]
fn a_union_with_itself_doubles() {
    gives((0..200).flat_map(|x| [x, x]).collect(), |ctx| {
        let numbers = ctx.generate(200, |x| x);
        numbers.clone().union([numbers]).collect()
    });
}

#[test]
fn a_union_of_one() {
    gives((0..200).collect(), |ctx| ctx.generate(200, |x| x).union([]).collect());
}

#[test]
fn both_clones_of_a_handle_get_every_record() {
    gives((0..400).map(|x| x % 100 / 2 * 2).collect::<Vec<u64>>().sorted(), |ctx| {
        let evens = ctx.generate(100, |x| x).map(|x| x / 2 * 2);
        let far = evens.clone().rebalance().map(|x| x).parallelism(2).clone();
        let near = evens.clone().filter(|_| true);
        near.union([far, evens.clone().flat_map(Some), evens]).collect()
    });
}

trait Sorted {
    fn sorted(self) -> Self;
}

impl<T: Ord> Sorted for Vec<T> {
    fn sorted(mut self) -> Self {
        self.sort();
        self
    }
}

#[test]
fn several_sinks_of_one_stream() {
    let (left, right) = ends(|| {
        let ctx = context(2);
        let words = ctx.from_iter(["a", "b", "c"]).map(str::to_owned);
        let (left, right) = (words.clone().collect(), words.rebalance().collect());
        ctx.execute("two sinks").expect("the job succeeds");
        (left.take().sorted(), right.take().sorted())
    });
    assert_eq!((left.join(""), right.join("")), ("abc".to_owned(), "abc".to_owned()));
}

#[test]
fn sources_without_records() {
    gives(vec![], |ctx| ctx.from_iter(Vec::<u64>::new()).map(|x| x).rebalance().collect());
    gives(vec![], |ctx| ctx.generate(0, |x| x).union([ctx.generate(0, |x| x)]).collect());
    // Fewer records than subtasks.
    gives(vec![0], |ctx| ctx.generate(1, |x| x).collect());
}

#[test]
fn order_is_kept_from_subtask_to_subtask_until_something_redistributes() {
    for parallelism in 1..=3 {
        let results = ends(move || {
            let ctx = context(parallelism).exchange_bytes(64);
            let numbers = ctx.generate(9000, |x| x).map(|x| x).filter(|x| x % 3 != 0);
            // The union makes an exchange between equal parallelisms: subtask i still feeds subtask i.
            let results = numbers.union([]).flat_map(|x| [x, x]).union([ctx.generate(0, |x| x)]).map(|x| x).collect();
            ctx.execute("order").expect("the job succeeds");
            results.take()
        });
        for subtask in 0..parallelism as u64 {
            let share = 9000 / parallelism as u64;
            let own: Vec<u64> = results.iter().copied().filter(|x| x / share == subtask).collect();
            assert_eq!(own.len() as u64, share / 3 * 2 * 2);
            assert!(own.is_sorted(), "subtask {subtask} of {parallelism}");
        }
    }
}

#[test]
fn a_rebalance_keeps_the_order_between_two_subtasks_and_is_even() {
    let results = ends(|| {
        let ctx = context(1);
        let dealt = ctx.from_iter(0..10_000u64).rebalance();
        let results =
            dealt.transform("who", |context: &OperatorContext| Tag(context.subtask())).parallelism(3).collect();
        ctx.execute("even").expect("the job succeeds");
        results.take()
    });
    for subtask in 0..3 {
        let own: Vec<u64> = results.iter().filter(|(who, _)| *who == subtask).map(|(_, x)| *x).collect();
        assert!(own.is_sorted());
        assert!((3333..=3334).contains(&own.len()), "{} records at subtask {subtask}", own.len());
    }
}

/// Adds the subtask.
struct Tag(usize);

impl Operator<u64, (usize, u64)> for Tag {
    fn process(&mut self, batch: &mut Batch<u64>, out: &mut dyn Output<(usize, u64)>) -> Result<()> {
        let mut tagged: Batch<_> = batch.drain().map(|x| (self.0, x)).collect();
        out.batch(&mut tagged)
    }
}

/// Pushes several batches at once, which an operator should not do.
struct Chopped;

impl Operator<u64, u64> for Chopped {
    fn process(&mut self, batch: &mut Batch<u64>, out: &mut dyn Output<u64>) -> Result<()> {
        let records: Vec<u64> = batch.drain().collect();
        records.chunks(100).try_for_each(|chunk| out.batch(&mut chunk.iter().copied().collect()))
    }
}

#[test]
fn an_operator_that_pushes_too_much_loses_neither_records_nor_order() {
    let results = ends(|| {
        let ctx = context(1).exchange_bytes(1);
        let results = ctx.from_iter(0..2000u64).transform("chop", |_| Chopped).flat_map(|x| vec![x; 10]).collect();
        ctx.execute("chopped").expect("the job succeeds");
        results.take()
    });
    assert_eq!(results.len(), 20_000);
    assert!(results.is_sorted());
}

/// Keeps everything until the end of time, which is what windows do.
#[derive(Default)]
struct UntilTheEnd {
    kept: Vec<u64>,
    watermarks: Vec<Timestamp>,
}

impl Operator<u64, u64> for UntilTheEnd {
    fn process(&mut self, batch: &mut Batch<u64>, _out: &mut dyn Output<u64>) -> Result<()> {
        self.kept.extend(batch.drain());
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Output<u64>) -> Result<Option<Timestamp>> {
        self.watermarks.push(watermark);
        let mut kept: Batch<u64> = self.kept.drain(..).collect();
        out.batch(&mut kept)?;
        Ok(Some(watermark))
    }

    fn end(&mut self, out: &mut dyn Output<u64>) -> Result<()> {
        assert_eq!(self.watermarks, [Timestamp::MAX], "a source that was read to its end says so, once");
        out.batch(&mut self.kept.drain(..).chain([u64::MAX]).collect())
    }
}

#[test]
fn what_watermark_and_end_push_arrives_before_them() {
    for parallelism in 1..=3 {
        let mut results = ends(move || {
            let ctx = context(parallelism).exchange_bytes(1);
            let held = ctx.generate(3000, |x| x).rebalance().transform("hold", |_| UntilTheEnd::default());
            // Two that are still handing out when the watermark and the end come by.
            let results = held.flat_map(|x| vec![x; 3]).transform("hold", |_| UntilTheEnd::default()).collect();
            ctx.execute("late").expect("the job succeeds");
            results.take()
        });
        results.sort();
        let ends = 4 * parallelism;
        assert_eq!(results.len(), 9000 + ends);
        assert!(results[..9000].iter().enumerate().all(|(i, x)| *x == i as u64 / 3));
    }
}

#[test]
fn a_job_can_be_described_on_other_threads_and_run_beside_another() {
    let (a, b) = ends(|| {
        let ctxs = [context(2), context(3)];
        let results: Vec<_> = ctxs.iter().map(|ctx| ctx.generate(1000, |x| x).rebalance().collect()).collect();
        let handles: Vec<_> = ctxs.into_iter().map(|ctx| ctx.start("beside").expect("valid")).collect();
        for handle in &handles {
            assert_eq!(handle.name(), "beside");
            handle.wait().expect("the job succeeds");
            assert!(handle.is_finished());
        }
        (results[0].len(), results[1].len())
    });
    assert_eq!((a, b), (1000, 1000));
}

/// The error of a job that must not start.
fn rejected(describe: impl FnOnce(&StreamingContext)) -> String {
    let ctx = context(2);
    describe(&ctx);
    ctx.execute("wrong").expect_err("the description is wrong").to_string()
}

#[test]
fn a_job_without_operators() {
    insta::assert_snapshot!(rejected(|_| {}), @r"
    error[config]: the job `wrong` has no operators
       = help: start with a source, for instance KafkaSource, and end in a sink
    ");
}

#[test]
fn a_stream_that_nobody_reads() {
    insta::assert_snapshot!(rejected(|ctx| drop(ctx.generate(1, |x| x))), @r"
    error[config]: nothing reads the output of `generate` (uid generate-1)
       = help: end the stream in a sink, for instance .for_each(|_| {})
    ");
    insta::assert_snapshot!(rejected(|ctx| {
        let numbers = ctx.generate(1, |x| x);
        let _forgotten = numbers.clone().filter(|x| *x > 0).name("positive").uid("pos");
        numbers.for_each(|_| {});
    }), @r"
    error[config]: nothing reads the output of `positive` (uid pos)
       = help: end the stream in a sink, for instance .for_each(|_| {})
    ");
}

#[test]
fn two_operators_with_one_uid() {
    insta::assert_snapshot!(rejected(|ctx| {
        ctx.generate(1, |x| x).map(|x| x).uid("same").filter(|_| true).name("mine").uid("same").for_each(|_| {});
    }), @r"
    error[config]: two operators have the uid `same`: `map` and `mine`
       = help: give each operator a uid of its own
    ");
}

#[test]
fn parallelism_of_an_iterator() {
    insta::assert_snapshot!(rejected(|ctx| {
        ctx.from_iter([1]).parallelism(2).for_each(|_| {});
    }), @r"
    error[config]: `from_iter` can only run with parallelism 1, not 2
       = help: set the parallelism of the operators behind it
    ");
}

#[test]
fn a_union_over_two_contexts() {
    insta::assert_snapshot!(rejected(|ctx| {
        ctx.generate(1, |x| x).union([context(2).generate(1, |x| x)]).for_each(|_| {});
    }), @r"
    error[config]: a union joins streams of different contexts
       = help: make all streams of a job from one StreamingContext
    ");
}

#[test]
fn several_mistakes_are_told_together() {
    insta::assert_snapshot!(rejected(|ctx| {
        ctx.from_iter([1]).parallelism(2).uid("a").for_each(|_| {}).uid("a");
        drop(ctx.generate(1, |x| x).union([context(1).generate(1, |x| x)]));
    }), @r"
    error[config]: a union joins streams of different contexts
       = help: make all streams of a job from one StreamingContext

    error[config]: nothing reads the output of `union` (uid union-4)
       = help: end the stream in a sink, for instance .for_each(|_| {})

    error[config]: `from_iter` can only run with parallelism 1, not 2
       = help: set the parallelism of the operators behind it

    error[config]: two operators have the uid `a`: `from_iter` and `for_each`
       = help: give each operator a uid of its own
    ");
}

#[test]
fn a_wrong_plan_is_told_in_the_same_words_every_time() {
    let ctx = context(1);
    ctx.from_iter([1]).parallelism(2).collect();
    ctx.reject(stream_core::Error::new(stream_core::ErrorKind::Data, "bad").with_hint("mend it"));
    let first = ctx.plan("twice").expect_err("wrong").to_string();
    assert_eq!(first, ctx.plan("twice").expect_err("still wrong").to_string());
    assert_eq!(first, ctx.execute("twice").expect_err("still wrong").to_string());
}

#[test]
fn parallelism_comes_from_the_configuration() {
    let planned = |key: &str, value: &str| {
        let ctx = StreamingContext::new(Configuration::builder().set(key, value).build().expect("valid"));
        ctx.generate(1, |x| x).for_each(|_| {});
        ctx.plan("configured").map(|plan| plan.explain(stream_core::ExplainFormat::Text))
    };
    assert!(planned("parallelism.default", "3").expect("valid").contains("chain 1 ×3"));
    assert!(planned("flink.property.parallelism.default", "2").expect("valid").contains("chain 1 ×2"));
    insta::assert_snapshot!(planned("parallelism.default", "0").expect_err("zero"), @r"
    error[config]: `0` is not a whole number from 1 to 32768
      --> set by the program
       = key: parallelism.default
       = help: write a whole number from 1 to 32768, or remove the line to use the default, 1
    ");
}

#[test]
fn a_misspelt_section_is_an_error_with_a_suggestion() {
    use stream_conf::Format;
    let text = "paralelism.default: 2\napp:\n  my.limit: 3\n";
    let configuration = Configuration::builder().text("application.yml", Format::Yaml, text).build().expect("reads");
    let ctx = StreamingContext::new(configuration);
    ctx.from_iter([1]).for_each(|_| {});
    let error = ctx.execute("job").expect_err("a typo");
    let text = error.to_string();
    assert!(text.contains("application.yml:1:1") && text.contains("did you mean `parallelism`?"), "{text}");
    assert!(!text.contains("my.limit"), "parameters of the job are its own: {text}");
}
