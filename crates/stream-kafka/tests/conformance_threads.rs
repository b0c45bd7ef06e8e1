//! Scenario 76, alone in its process, because it counts threads.

mod common;

use common::LIMIT;
use common::copy::{Copy, at};
use stream_testkit::{KafkaFixture, wait_until};

/// So many jobs come and go; a thread that is left behind by each can't hide among those that end late.
const CYCLES: usize = 50;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
#[cfg(target_os = "linux")]
fn s076_jobs_that_come_and_go_leave_no_thread_behind() {
    let kafka = KafkaFixture::new("s076");
    let job = Copy::new(&kafka, "s076");
    job.write(0..10);
    let cycle = |i: usize| {
        let run = job.launch(&at(2));
        if i.is_multiple_of(2) {
            run.checkpoint();
            run.stop();
        } else {
            run.abort();
        }
    };
    (0..2).for_each(cycle);
    let before = threads();
    (0..CYCLES).for_each(cycle);
    let few = CYCLES / 5;
    wait_until("threads end", LIMIT, || threads() <= before + few);
    job.finish(&at(2));
    job.shows(0..10);
}
